/**
 * `concordat node …`: one node as a process, and what its operator asks of it.
 */
import { CodedError } from '../base/errors.ts';
import { type Action, commandOf } from './action.ts';
import type { Command } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { RECOVER } from './node/recover.ts';
import { RESTART } from './node/restart.ts';
import { JOIN, RUN, START } from './node/start.ts';
import { REMOVE, TRUST } from './node/trust.ts';

const SETTINGS: Action = {
  name: 'settings',
  usage: `Usage: concordat node settings

Prints the reference page of all settings of a node's configuration, in Markdown.`,
  run: async (args, io) => {
    if (args.length > 0) throw new CodedError('Usage', `settings takes no ${args[0]}`);
    const { nodeSettingsPage } = await import('../config/reference-page.ts');
    io.out(nodeSettingsPage().trimEnd());
    return EXIT.good;
  },
};

const USAGE = `Usage: concordat node ACTION [OPTIONS]

  node start --config FILE     run the first node of a new service, or go on with one
  node join --config FILE      run a node that joins a service, or go on with one
  node run --config FILE       start or join, whichever the configuration says
  node recover --config FILE   run a node that takes a lost service over from its ledgers
  node trust ID                let a node in that has asked to join, as a member
  node remove ID               have a node leave the service, as a member
  node restart                 let a node go on that cannot show its files to be the newest
  node settings                what a configuration file can say

concordat node ACTION --help says what each takes.`;

export const command: Command = commandOf(
  {
    name: 'node',
    summary: 'run one node of a service, or ask something of it as its operator',
    usage: USAGE,
  },
  [START, JOIN, RUN, RECOVER, TRUST, REMOVE, RESTART, SETTINGS],
);
