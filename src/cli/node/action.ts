/** One word after `concordat node`, with its own options and help. */
import type { CommandIo } from '../command.ts';

export interface NodeAction {
  readonly name: string;
  readonly usage: string;
  run(args: readonly string[], io: CommandIo): Promise<number>;
}
