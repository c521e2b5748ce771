import { CheckpointStore } from "../src/adapters/checkpoint-store.ts";
import type { FromKeeper, ToKeeper } from "../src/adapters/host-page-protocol.ts";
import { KeeperRoom } from "../src/adapters/keeper-room.ts";
import { ModelStore } from "../src/adapters/model-store.ts";
import { KEEPER_TICK_MS } from "../src/base/limits.ts";

// The keeper of one host page: a dedicated worker, because hidden main threads are throttled and this is the watch.
const post = (message: FromKeeper): void => postMessage(message);
const early: MessageEvent<ToKeeper>[] = [];
self.onmessage = (event: MessageEvent<ToKeeper>) => early.push(event);

const models = await ModelStore.open();
const room = new KeeperRoom(models, await CheckpointStore.open(), post, __FAULT_HOOKS__);
self.onmessage = (event: MessageEvent<ToKeeper>) => room.receive(event.data, event.ports);
for (const event of early) room.receive(event.data, event.ports);
setInterval(() => room.tick(performance.now()), KEEPER_TICK_MS);
// After the first messages: nobody waits for it.
void models.tidy().catch(() => undefined);
