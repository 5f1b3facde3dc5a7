// A node as a process, as `concordat node start` and `join` run it, but on hardware of a test:
//   node node-on-fake-hardware.ts CONFIG MACHINE [LEDGER…]
// Ledgers are those that a recovery is given.
// It says in one line of JSON that it is ready, or what keeps it from being so.

import { isCoded } from '../../src/base/errors.ts';
import { startNodeProcess } from '../../src/cli/node/node-process.ts';
import { readNodeConfig } from '../../src/config/node-config.ts';
import { readMachine } from './machine-files.ts';

const [config = '', machine = '', ...ledgers] = process.argv.slice(2);
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
// Whoever started it holds its standard input open.
process.stdin.resume().on('end', () => process.exit(1));

const say = (line: unknown): void => {
  process.stdout.write(`${JSON.stringify(line)}\n`);
};

try {
  const node = await startNodeProcess(readNodeConfig(config), {
    log: {
      info: () => undefined,
      warn: (warning) => process.stderr.write(`${warning}\n`),
      progress: (what) => process.stderr.write(`${what}\n`),
    },
    onFatal: (error) => {
      throw error;
    },
    onRetired: () => stop.abort(),
    signal: stop.signal,
    evidence: readMachine(machine),
    ...(ledgers.length === 0 ? {} : { recovery: { ledgers, acceptLoss: false } }),
  });
  if (node === 'stopped') process.exit(0);
  say(node.ready);
  await new Promise((resolve) => stop.signal.addEventListener('abort', resolve));
  await node.stop();
  process.exit(0);
} catch (error) {
  if (!isCoded(error)) throw error;
  say({ code: error.code, message: error.message });
  process.exit(1);
}
