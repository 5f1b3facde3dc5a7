/**
 * What a member signs about proposals: `concordat gov propose|ballot|withdraw|simulate`.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CodedError, messageOf } from '../../base/errors.ts';
import type { Simulation } from '../../governance/simulation.ts';
import type { Action } from '../action.ts';
import type { CommandIo } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import {
  PLACE_OPTIONS,
  PLACE_USAGE,
  type PlaceValues,
  proposalIdOf,
  SigningMember,
} from './place.ts';
import { usage } from './usage.ts';

export const PROPOSE: Action = {
  name: 'propose',
  usage: `Usage: concordat gov propose FILE (--data DIR | --url URL …)

Proposes what FILE says, {"actions": [{"name": …, "args": …}, …]}, and prints the proposal's id.

${PLACE_USAGE}`,
  run: async (args, io) => {
    const { values, positionals } = parsed(args);
    const file = onlyOne(positionals, 'FILE');
    const member = SigningMember.of(values);
    const { body } = await member.send(
      'proposal',
      '/members/proposals:create',
      proposalIn(file),
    );
    return say(io, values, body);
  },
};

const BALLOTS: Readonly<Record<string, string>> = {
  yes: 'export function vote (proposal, proposerId) { return true }',
  no: 'export function vote (proposal, proposerId) { return false }',
};

export const BALLOT: Action = {
  name: 'ballot',
  usage: `Usage: concordat gov ballot ID (--vote yes|no | --script FILE) (--data DIR | --url URL …)

Votes on a proposal. A ballot is a script, which is run again whenever the proposal is judged; FILE
has one, a module that exports vote(proposal, proposerId). ID may be its first six digits.

  --vote yes|no               a ballot that always says so
  --script FILE               a ballot of your own
${PLACE_USAGE}`,
  run: async (args, io) => {
    const { values, positionals } = parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: true,
      options: { ...PLACE_OPTIONS, vote: { type: 'string' }, script: { type: 'string' } },
    });
    const ballot = ballotOf(values.vote, values.script);
    const member = SigningMember.of(values);
    const id = await proposalIdOf(onlyOne(positionals, 'ID'), member.service);
    const path = `/members/proposals/${id}/ballots/${member.id}:submit`;
    const { body } = await member.send('ballot', path, JSON.stringify({ ballot }), id);
    return say(io, values, body);
  },
};

/** The text of a ballot, as options say it. */
export function ballotOf(vote: string | undefined, script: string | undefined): string {
  if (script !== undefined && vote === undefined) return readFileSync(script, 'utf8');
  const known = vote === undefined ? undefined : BALLOTS[vote];
  if (known === undefined || script !== undefined) {
    throw usage('say --vote yes, --vote no, or --script FILE');
  }
  return known;
}

export const WITHDRAW: Action = {
  name: 'withdraw',
  usage: `Usage: concordat gov withdraw ID (--data DIR | --url URL …)

Withdraws a proposal of your own. ID may be its first six digits.

${PLACE_USAGE}`,
  run: async (args, io) => {
    const { values, positionals } = parsed(args);
    const member = SigningMember.of(values);
    const id = await proposalIdOf(onlyOne(positionals, 'ID'), member.service);
    const path = `/members/proposals/${id}:withdraw`;
    const { body } = await member.send('withdrawal', path, '', id);
    return say(io, values, body);
  },
};

export const SIMULATE: Action = {
  name: 'simulate',
  usage: `Usage: concordat gov simulate FILE (--data DIR | --url URL …)

Shows which rows a proposal would change if it were accepted now. A node runs it on a copy of its
state and changes nothing. Exit code 1 if it would not be taken, or could not be applied.

${PLACE_USAGE}`,
  run: async (args, io) => {
    const { values, positionals } = parsed(args);
    const file = onlyOne(positionals, 'FILE');
    const member = SigningMember.of(values);
    const { body } = await member.send(
      'concordat_simulation',
      '/concordat/proposals:simulate',
      proposalIn(file),
    );
    const simulation = JSON.parse(body) as Simulation;
    const good = simulation.valid && simulation.failure === undefined;
    if (values.json === true) io.out(JSON.stringify({ ok: good, ...simulation }));
    else io.out(simulationText(simulation));
    return good ? EXIT.good : EXIT.bad;
  },
};

function simulationText({ valid, description, rows, effects, failure }: Simulation): string {
  if (failure !== undefined) return `it could not be applied: ${failure.reason}`;
  if (!valid) return `it would not be taken: ${description}`;
  const lines = rows.map(({ table, key, before, after }) =>
    [
      `${table}  ${key}`,
      ...(before === undefined ? [] : [`  - ${before}`]),
      ...(after === undefined ? [] : [`  + ${after}`]),
    ].join('\n'),
  );
  const also = effects.map(({ name }) => `and ${name}`);
  return [...lines, ...also].join('\n') || 'it would change nothing';
}

function parsed(args: readonly string[]): {
  readonly values: PlaceValues;
  readonly positionals: readonly string[];
} {
  return parseArgs({
    args: [...args],
    strict: true,
    allowPositionals: true,
    options: PLACE_OPTIONS,
  });
}

function onlyOne([first, ...rest]: readonly string[], what: string): string {
  if (first !== undefined && rest.length === 0) return first;
  throw usage(`name one ${what}${rest.length === 0 ? '' : `, not also ${rest.join(' ')}`}`);
}

/** A proposal's text as it is in its file, which must be JSON. */
export function proposalIn(file: string): string {
  const text = readFileSync(file, 'utf8');
  try {
    const actions: unknown = Reflect.get(Object(JSON.parse(text)), 'actions');
    if (Array.isArray(actions)) return text;
  } catch (cause) {
    throw new CodedError('BadProposal', `${file} is not JSON: ${messageOf(cause)}`, { file });
  }
  throw new CodedError('BadProposal', `${file} has no list of actions`, { file });
}

/** A proposal as the service shows it. */
function say(io: CommandIo, values: PlaceValues, body: string): number {
  if (body === '') {
    io.out(values.json === true ? '{"ok":true}' : 'there is no such proposal any more');
    return EXIT.good;
  }
  const proposal = JSON.parse(body) as Readonly<Record<string, unknown>>;
  if (values.json === true) io.out(JSON.stringify({ ok: true, ...proposal }));
  else {
    const { proposalId, proposalState, ballotCount } = proposal;
    io.out(`proposal ${proposalId} is ${proposalState}, with ${ballotCount} ballots`);
  }
  return EXIT.good;
}
