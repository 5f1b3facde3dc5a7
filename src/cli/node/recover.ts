/**
 * `concordat node recover`: a node that takes a service over from the ledgers that survived a
 * disaster (node-lifecycle.md §8).
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { CodedError } from '../../base/errors.ts';
import type { Action } from '../action.ts';
import type { CommandIo } from '../command.ts';
import { check, configFrom, mustBe, runNode } from './start.ts';

export const RECOVER: Action = {
  name: 'recover',
  usage: `Usage: concordat node recover --config FILE --ledger DIR... [--accept-loss]
                             [--check] [--json]

Runs a node that recovers a service whose nodes are lost, from the ledgers that survive. It verifies
them, goes on behind the longest one with a new service that endorses the old, and waits: members
vote for transition_service_to_open and hand in their recovery shares; then it reads the private
state back and opens. Name the folders of all nodes that can be had: those of a majority prove that
nothing committed is missing. Interrupted at any point, it can be run again; once the service was
opened, it goes on with what its own folder holds.

  --config FILE         the configuration, JSON; - reads it from standard input. Its command is
                        Recover, and its folder an empty one
  --ledger DIR          what survived of a node (its folder, or the ledger's in it), or a backup;
                        once for each
  --accept-loss         go on although committed transactions may be missing
  --check               judge the configuration and the files it names, and end
  --json                one JSON line when ready instead of a table`,
  run,
};

async function run(args: readonly string[], io: CommandIo): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    strict: true,
    allowPositionals: false,
    options: {
      config: { type: 'string' },
      ledger: { type: 'string', multiple: true },
      'accept-loss': { type: 'boolean' },
      check: { type: 'boolean' },
      json: { type: 'boolean' },
    },
  });
  if (values.config === undefined) {
    throw new CodedError('Usage', '--config FILE says what the node is; it is missing');
  }
  const json = values.json === true;
  if (values.check === true) return await check('recover', values.config, json, io);
  if (values.ledger === undefined) {
    throw new CodedError('Usage', '--ledger DIR says what survived; it is missing');
  }
  const config = await configFrom(values.config);
  mustBe('recover', config, values.config);
  const ledgers = values.ledger.map((folder) => resolve(folder));
  const acceptLoss = values['accept-loss'] === true;
  return await runNode(config, json, io, { ledgers, acceptLoss });
}
