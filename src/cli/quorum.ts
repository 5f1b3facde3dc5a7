/**
 * `concordat quorum …`: what an operator of a Quorum node does beside running it: party keys, and
 * the way over from Tessera.
 */
import { CodedError } from '../base/errors.ts';
import type { Command } from './command.ts';
import type { QuorumAction } from './quorum/action.ts';
import { IMPORT } from './quorum/import.ts';
import { IMPORT_CONFIG } from './quorum/import-config.ts';
import { IMPORT_KEYS } from './quorum/import-keys.ts';
import { KEYGEN } from './quorum/keygen.ts';

const ACTIONS: readonly QuorumAction[] = [KEYGEN, IMPORT_CONFIG, IMPORT_KEYS, IMPORT];

const USAGE = `Usage: concordat quorum ACTION [OPTIONS]

  quorum keygen NAME…                 make party keys, in files that Tessera accepts too
  quorum import-config TESSERA.json   turn a Tessera configuration into ours
  quorum import-keys PARTY-KEYS.json  hand private party keys to a running service
  quorum import                       move everything that a Tessera node holds

concordat quorum ACTION --help says what each takes. docs/from-tessera.md tells the whole way.`;

export const command: Command = {
  name: 'quorum',
  summary: 'make party keys, and move over from Tessera',
  usage: USAGE,
  usageOf: ([name]) => actionOf(name)?.usage ?? USAGE,
  run: async ([name, ...rest], io) => {
    const action = actionOf(name);
    if (action === undefined) {
      const names = ACTIONS.map((each) => each.name).join(', ');
      const said = name === undefined ? 'nothing' : JSON.stringify(name);
      throw new CodedError('Usage', `say what to do: ${names}; not ${said}`);
    }
    return await action.run(rest, io);
  },
};

function actionOf(name: string | undefined): QuorumAction | undefined {
  return ACTIONS.find((each) => each.name === name);
}
