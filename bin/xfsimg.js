#!/usr/bin/env node
// CommonJS on purpose (bin/package.json): starting Node's ES module loader would cost more than the program.
require('../dist/xfsimg.cjs');
