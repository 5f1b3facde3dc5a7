/**
 * `concordat gov …`: what members of the consortium decide.
 */
import { commandOf } from './action.ts';
import type { Command } from './command.ts';
import { CONSENT } from './gov/consent.ts';
import { BALLOT, PROPOSE, SIMULATE, WITHDRAW } from './gov/decisions.ts';
import { ACK, STATUS } from './gov/membership.ts';
import { FINISH, PREPARE } from './gov/offline.ts';
import { SHARE } from './gov/share.ts';

const USAGE = `Usage: concordat gov ACTION [OPTIONS]

  gov propose FILE    propose what the file says
  gov simulate FILE   show what it would change, and change nothing
  gov ballot ID       vote on a proposal
  gov withdraw ID     withdraw a proposal of your own
  gov ack             acknowledge the state of the service, and become active
  gov share           hand in your recovery share, while a lost service is recovered
  gov consent FILE    agree to an action as the organisation that it is about
  gov prepare WHAT    write down what a key signs that is elsewhere
  gov finish FILE     send it with its signature
  gov status          show the service, its members and its proposals

concordat gov ACTION --help says what each takes.`;

export const command: Command = commandOf(
  {
    name: 'gov',
    summary: 'propose, vote and acknowledge as a member of the consortium',
    usage: USAGE,
  },
  [PROPOSE, SIMULATE, BALLOT, WITHDRAW, ACK, SHARE, CONSENT, PREPARE, FINISH, STATUS],
);
