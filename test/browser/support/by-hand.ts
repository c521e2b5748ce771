/**
 * Runs in a page that speaks the client protocol by hand, as a hostile one may: no client library, no `hello` first.
 * Answers what each call was answered.
 */
export async function speakByHand(
  extension: string,
  calls: { method: string; params: unknown }[],
  stays = false,
): Promise<({ value: unknown } | { error: { code: string; message: string } })[]> {
  const frame = document.createElement("iframe");
  frame.src = `${extension}src/bridge.html`;
  await new Promise((loaded) => {
    frame.addEventListener("load", loaded, { once: true });
    document.documentElement.append(frame);
  });
  const { port1, port2 } = new MessageChannel();
  frame.contentWindow?.postMessage({ holdfast: "connect", protocol: 1 }, "*", [port2]);
  const answers: ({ value: unknown } | { error: { code: string; message: string } })[] = [];
  for (const [id, call] of calls.entries()) {
    answers.push(
      await new Promise((resolve) => {
        port1.onmessage = ({ data }) => {
          if (data.id === id) resolve(data.rpc === "error" ? { error: data.error } : { value: data.value });
        };
        port1.postMessage({ rpc: "call", id, ...call });
      }),
    );
  }
  if (!stays) frame.remove();
  return answers;
}
