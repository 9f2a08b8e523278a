#!/usr/bin/env node
// CommonJS on purpose (bin/package.json): starting Node's ES module loader would cost more than the program.
const first = process.argv[2] ?? '';
if (process.argv.length === 3 && (first === '--version' || first === '-V'))
  console.log(require('../package.json').version);
else require('./load.js').load(require('node:path').dirname(__dirname), first).start();
