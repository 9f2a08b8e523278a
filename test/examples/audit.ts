/** Findings of images as one JSON line each: node audit.js IMAGE... */
import { openImage } from 'xfsimg';

for (const path of process.argv.slice(2)) {
  const image = openImage(path);
  const damage = image.findings().filter((finding) => finding.severity === 'damage');
  console.log(JSON.stringify({ path, uuid: image.uuid, label: image.label, damage: damage.length }));
  for (const { code, message, action } of damage) console.log(JSON.stringify({ code, message, action }));
  image.close();
}
