/** Puts a configuration into an image and takes a file out: node customize.js IMAGE HOSTNAME */
import { openImage, PathError } from 'xfsimg';

const [path, hostname] = process.argv.slice(2);
const image = openImage(path, { write: true });
image.edit((edit) => {
  edit.mkdir('/etc', { parents: true });
  edit.put('/etc/hostname', `${hostname}\n`);
  edit.chmod('/etc/hostname', 0o644);
  edit.setXattr('/etc/hostname', 'user.origin', 'customize');
  if (!edit.exists('/etc/issue')) edit.symlink('hostname', '/etc/issue');
});
try {
  image.edit((edit) => {
    edit.put('/etc/half-done', 'never seen');
    edit.rename('/no/such/file', '/etc/other');
  });
} catch (error) {
  // The whole scope is taken back.
  if (!(error instanceof PathError)) throw error;
  console.log(error.message);
}
for await (const piece of image.stream('/etc/issue')) process.stdout.write(piece);
image.close();
