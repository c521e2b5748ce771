/**
 * A module worker from a blob: URL never loads in an opaque origin, and onnxruntime's threads are such workers.
 * A classic worker that imports the same module does load; it keeps what arrives before the import is done.
 */
export function installOpaqueWorker(scope: typeof globalThis): void {
  const NativeWorker = scope.Worker;
  class OpaqueWorker extends NativeWorker {
    constructor(url: string | URL, options?: WorkerOptions) {
      if (options?.type !== "module") {
        super(url, options);
        return;
      }
      const boot = `const early = []; onmessage = (event) => early.push(event);
import(${JSON.stringify(String(url))}).then(() => {
  for (const event of early) dispatchEvent(new MessageEvent("message", { data: event.data, ports: [...event.ports] }));
});`;
      const script = URL.createObjectURL(new Blob([boot], { type: "text/javascript" }));
      super(script, options.name === undefined ? {} : { name: options.name });
    }
  }
  scope.Worker = OpaqueWorker;
}
