#!/usr/bin/env node
// CommonJS on purpose (bin/package.json): starting Node's ES module loader would cost more than the program.
const { join } = require('node:path');

const first = process.argv[2] ?? '';
if (process.argv.length === 3 && (first === '--version' || first === '-V'))
  console.log(require('../package.json').version);
else require('./load.js').load(join(__dirname, '../dist/xfsimg.cjs'), first).exports.start();
