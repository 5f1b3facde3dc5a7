/**
 * How a node or a sandbox says what happens to it: on standard error, so that standard output holds
 * only what was asked for.
 */
import type { NodeLog } from '../node/node-options.ts';
import type { CommandIo } from './command.ts';

export function nodeLog(io: CommandIo): NodeLog {
  return {
    info: (message) => io.progress(`${message} …`),
    warn: (message) => io.err(message),
    progress: (what, done, total, unit) => {
      const of = total === undefined ? '' : ` of ${amount(total, unit)}`;
      io.progress(`${what}: ${amount(done, unit)}${of} …`);
    },
  };
}

function amount(value: number, unit: string): string {
  if (unit !== 'B') return `${value}${unit}`;
  if (value < 1e6) return `${(value / 1e3).toFixed(0)} kB`;
  return value < 1e9 ? `${(value / 1e6).toFixed(1)} MB` : `${(value / 1e9).toFixed(2)} GB`;
}
