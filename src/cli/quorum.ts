/**
 * `concordat quorum …`: what an operator of a Quorum node does beside running it: party keys, and
 * the way over from Tessera.
 */
import { commandOf } from './action.ts';
import type { Command } from './command.ts';
import { IMPORT } from './quorum/import.ts';
import { IMPORT_CONFIG } from './quorum/import-config.ts';
import { IMPORT_KEYS } from './quorum/import-keys.ts';
import { KEYGEN } from './quorum/keygen.ts';

const USAGE = `Usage: concordat quorum ACTION [OPTIONS]

  quorum keygen NAME…                 make party keys, in files that Tessera accepts too
  quorum import-config TESSERA.json   turn a Tessera configuration into ours
  quorum import-keys PARTY-KEYS.json  hand private party keys to a running service
  quorum import                       move everything that a Tessera node holds

concordat quorum ACTION --help says what each takes. docs/from-tessera.md tells the whole way.`;

export const command: Command = commandOf(
  {
    name: 'quorum',
    summary: 'make party keys, and move over from Tessera',
    usage: USAGE,
  },
  [KEYGEN, IMPORT_CONFIG, IMPORT_KEYS, IMPORT],
);
