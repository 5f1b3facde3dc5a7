/**
 * The worker thread in which a node runs governed scripts. A script reads tables as if they were at
 * hand; the rows of each are fetched from the owner when it is first touched, and the script stands
 * still meanwhile. It ends when its owner ends it.
 */
import {
  type MessagePort,
  parentPort,
  receiveMessageOnPort,
  workerData,
} from 'node:worker_threads';
import { messageOf } from '../../base/errors.ts';
import { systemRandom } from '../../crypto/random.ts';
import type { Row } from '../../kv/tables.ts';
import { interpret } from './interpreter.ts';
import type { FromWorker, ToWorker } from './worker-messages.ts';

/** Set by the owner when an answer lies on the port. */
const answered = new Int32Array((workerData as { signal: SharedArrayBuffer }).signal);

function serve(port: MessagePort): void {
  const say = (message: FromWorker): void => port.postMessage(message);
  const load = (table: string): readonly Row[] => {
    Atomics.store(answered, 0, 0);
    say({ kind: 'load', table });
    Atomics.wait(answered, 0, 0);
    const received = receiveMessageOnPort(port)?.message as ToWorker | undefined;
    if (received?.kind !== 'rows') throw new Error(`no rows of ${table} came`);
    return received.rows;
  };
  port.on('message', (message: ToWorker) => {
    if (message.kind !== 'run') return;
    interpret(message.job, load, { elapsedMs: () => performance.now(), random }).then(
      (outcome) => say({ kind: 'outcome', outcome }),
      (thrown: unknown) => say({ kind: 'failed', reason: messageOf(thrown) }),
    );
  });
  say({ kind: 'ready' });
}

/** 48 bits of chance. */
function random(): number {
  return Buffer.from(systemRandom.bytes(6)).readUIntBE(0, 6) / 2 ** 48;
}

if (parentPort !== null) serve(parentPort);
