/**
 * What a proposal would do if it were accepted now: it is validated and applied to a draft of the
 * present state, which is then thrown away.
 */
import { textOf, utf8 } from '../base/bytes.ts';
import type { ReadView } from '../kv/tables.ts';
import { ConstitutionCalls, type Failure, type ScriptDesk } from './constitution-calls.ts';
import { Draft } from './draft.ts';
import { PROPOSALS, PROPOSALS_INFO, type ProposalInfo } from './proposals.ts';
import type { ScriptEffect } from './scripts.ts';
import { jsonRow } from './tables.ts';

/** A row that would change: before, if it is there, and after, if it would be. */
export interface RowChange {
  readonly table: string;
  readonly key: string;
  readonly before?: string;
  readonly after?: string;
}

export interface Simulation {
  readonly valid: boolean;
  /** Why it would not be taken. */
  readonly description: string;
  readonly rows: readonly RowChange[];
  /** What else would be done, such as `triggerLedgerRekey`. */
  readonly effects: readonly ScriptEffect[];
  /** Why it could not be applied: then its last ballot would be refused. */
  readonly failure?: Failure;
}

/** The id under which the proposal is known to itself meanwhile. */
const SIMULATED_ID = '0'.repeat(64);

export async function simulateProposal(
  view: ReadView,
  body: string,
  proposerId: string,
  desk: ScriptDesk,
): Promise<Simulation> {
  const draft = new Draft(view);
  // Nothing that counts leaves a simulation, a certificate least of all.
  const answer = async (question: ScriptEffect): Promise<string> =>
    question.name === 'getLatestLedgerSecretSeqno'
      ? await desk.answer(question, draft)
      : `(${question.name}: made when the proposal is accepted)`;
  const calls = new ConstitutionCalls(draft, { ...desk, answer });
  const nothing = { rows: [], effects: [] };
  const validated = await calls.call('validate', [body]);
  if (validated.kind === 'threw') {
    return { valid: false, description: '', failure: validated.failure, ...nothing };
  }
  const { valid, description } = Object(validated.value) as Readonly<Record<string, unknown>>;
  const said = typeof description === 'string' ? description : '';
  if (valid !== true) return { valid: false, description: said, ...nothing };
  const info: ProposalInfo = { proposer_id: proposerId, state: 'Accepted', ballots: {} };
  draft.put(PROPOSALS, utf8(SIMULATED_ID), utf8(body));
  draft.put(PROPOSALS_INFO, utf8(SIMULATED_ID), jsonRow(info));
  const applied = await calls.call('apply', [body, SIMULATED_ID]);
  if (applied.kind === 'threw') {
    return { valid: true, description: said, failure: applied.failure, ...nothing };
  }
  const rows = draft.writes
    .map(({ table, key, value }) => changeOf(view, table, key, value))
    .filter(({ key, before, after }) => key !== SIMULATED_ID && before !== after);
  return { valid: true, description: said, rows, effects: applied.effects };
}

function changeOf(
  view: ReadView,
  table: string,
  key: Uint8Array,
  value: Uint8Array | undefined,
): RowChange {
  const before = view.table(table).get(key);
  return {
    table,
    key: readable(key),
    ...(before === undefined ? {} : { before: readable(before) }),
    ...(value === undefined ? {} : { after: readable(value) }),
  };
}

/** Text where it is text, else hexadecimal. */
function readable(bytes: Uint8Array): string {
  try {
    const text = textOf(bytes);
    if (!text.includes('\0')) return text;
  } catch {
    // Not text.
  }
  return `0x${Buffer.from(bytes).toString('hex')}`;
}
