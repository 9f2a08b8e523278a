/** Modules only `import()` can load, for the bundle: V8 compiled it without a loader (see load.js). */
module.exports = (name) => import(name);
