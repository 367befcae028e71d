/**
 * The file a worker thread is started from. Workers run the built JavaScript also when their caller runs as
 * TypeScript (tests), because Node 20 cannot load TypeScript.
 *
 * @param name - the module beside the caller, without extension: `serve-worker`
 * @param callerUrl - the caller's `import.meta.url`
 */
export function workerFile(name: string, callerUrl: string): URL {
  const built = callerUrl.endsWith('.ts') ? callerUrl.replace(/\/src\/(?!.*\/src\/)/, '/dist/') : callerUrl;
  return new URL(`./${name}.js`, built);
}
