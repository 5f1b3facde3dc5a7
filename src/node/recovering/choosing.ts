/**
 * Which of the ledgers that survived a service is recovered from, and what that proves.
 *
 * The longest one by Raft's own order (view of its last signature, then seqno) holds all that was
 * committed if the ledgers of a majority of the nodes are at hand: every committed transaction lies
 * on at least one of them, and the longest has it (leader completeness). With fewer, all that is
 * proven is what that ledger itself shows to be committed.
 */
import { CodedError } from '../../base/errors.ts';
import { type NodeId, type TxId, textOfTxId } from '../../base/ids.ts';
import type { SurvivingLedger } from './surviving-ledger.ts';

export interface Choice {
  readonly ledger: SurvivingLedger;
  /** Ledgers of nodes that were given and found good, and how many would prove completeness. */
  readonly given: number;
  readonly needed: number;
  readonly nodes: number;
  readonly isComplete: boolean;
  /** Up to here nothing is missing for certain; beyond, only if `isComplete`. */
  readonly provenTo: TxId | undefined;
  /** Ledgers of nodes that prove nothing beside the others, a sentence for each. */
  readonly notCounted: readonly string[];
}

/** Chooses; throws `LedgersDisagree` when two of them show different histories as committed. */
export function chooseLedger(ledgers: readonly SurvivingLedger[]): Choice {
  const [first, ...others] = ledgers;
  if (first === undefined) {
    throw new CodedError('NoLedger', 'none of the ledgers can be recovered from');
  }
  const ledger = others.reduce((best, each) => (isLonger(each, best) ? each : best), first);
  for (const each of ledgers) mustAgree(ledger, each);
  const active = activeConfigurations(ledger);
  const union = new Set(active.flat());
  // Where it does not stand whose ledger one is, any so many of all nodes must hold a majority.
  const needed = Math.max(
    ...active.map((nodes) => union.size - nodes.length + majorityOf(nodes)),
  );
  const { owners, counted, notCounted } = speakers(ledgers, union);
  const isMajority = active.every(
    (nodes) => nodes.filter((node) => owners.has(node)).length >= majorityOf(nodes),
  );
  const given = counted;
  const isComplete = isMajority || given >= needed;
  const provenTo = isComplete ? ledger.end : ledger.committed;
  return { ledger, given, needed, nodes: union.size, isComplete, provenTo, notCounted };
}

function majorityOf(nodes: readonly NodeId[]): number {
  return Math.floor(nodes.length / 2) + 1;
}

interface Speakers {
  readonly owners: ReadonlySet<NodeId>;
  readonly counted: number;
  readonly notCounted: readonly string[];
}

/**
 * For how many nodes the ledgers speak. Each node counts once, however many copies there are of its
 * ledger; those that name nobody may all be copies of one, so that one of them counts at most.
 */
function speakers(ledgers: readonly SurvivingLedger[], voters: ReadonlySet<NodeId>): Speakers {
  const owners = new Map<NodeId, string>();
  const notCounted: string[] = [];
  const nobodys: string[] = [];
  for (const { given, isBackup, owner } of ledgers) {
    if (isBackup) continue;
    const known = owner === undefined ? undefined : owners.get(owner);
    if (owner === undefined) nobodys.push(given);
    else if (known !== undefined) {
      notCounted.push(`${given} is of node ${owner}, as ${known} is: one node counts once`);
    } else if (voters.has(owner)) owners.set(owner, given);
    else notCounted.push(`${given} is of node ${owner}, which has no vote`);
  }
  const unnamed = owners.size === 0 ? 1 : 0;
  for (const given of nobodys.slice(unnamed)) {
    const why = 'does not say whose it is, so it may be a copy of another that counts';
    notCounted.push(`${given} ${why}: name the whole folder of its node`);
  }
  const counted = owners.size + Math.min(nobodys.length, unnamed);
  return { owners: new Set(owners.keys()), counted, notCounted };
}

/** What the choice proves, in words. */
export function choiceText({ ledger, given, needed, nodes, ...rest }: Choice): string {
  const end = textOfTxId(ledger.end);
  const what = `the ledger in ${ledger.given} is the longest; it ends at ${end}`;
  const left = rest.notCounted.map((why) => `; ${why}`).join('');
  const counted = `${given} of the ledgers of ${nodes} nodes are given${left}`;
  if (rest.isComplete) {
    return `${what}. ${counted}, a majority: no committed transaction is missing`;
  }
  const { provenTo } = rest;
  const to = provenTo === undefined ? 'its beginning' : textOfTxId(provenTo);
  return (
    `${what}. ${counted}, and ${needed} would be needed to prove that nothing is missing: ` +
    `beyond ${to} completeness cannot be proven, and what only the lost nodes held is lost`
  );
}

/** Refuses to go on with a loss that nobody has accepted. */
export function mustBeAccepted(choice: Choice, acceptLoss: boolean): void {
  if (choice.isComplete || acceptLoss) return;
  const { provenTo } = choice;
  throw new CodedError(
    'CompletenessUnproven',
    `${choiceText(choice)}. Find the folders of more nodes, or, if they are gone for good, ` +
      'accept that with --accept-loss',
    provenTo === undefined ? {} : { provenTo: textOfTxId(provenTo) },
  );
}

function isLonger({ end }: SurvivingLedger, { end: than }: SurvivingLedger): boolean {
  return end.view > than.view || (end.view === than.view && end.seqno > than.seqno);
}

/** The voters that may still count: those in force at the last known commit, and all after them. */
function activeConfigurations({
  configurations,
  committed,
}: SurvivingLedger): readonly (readonly NodeId[])[] {
  const known = committed?.seqno ?? 0;
  const inForce = configurations.findLastIndex(({ seqno }) => seqno <= known);
  return configurations.slice(Math.max(inForce, 0)).map(({ nodes }) => nodes);
}

/** Committed chunks of one service are the same everywhere. */
function mustAgree(chosen: SurvivingLedger, other: SurvivingLedger): void {
  for (const [seqno, root] of other.roots) {
    const own = chosen.roots.get(seqno);
    if (own === root || (own === undefined && seqno > chosen.end.seqno)) continue;
    if (own === undefined) continue;
    throw disagree(chosen, other, seqno);
  }
  if ((other.committed?.seqno ?? 0) > chosen.end.seqno) {
    throw disagree(chosen, other, other.committed?.seqno ?? 0);
  }
}

function disagree(one: SurvivingLedger, other: SurvivingLedger, seqno: number): CodedError {
  return new CodedError(
    'LedgersDisagree',
    `the ledgers in ${one.given} and ${other.given} both have committed entries at ${seqno}, ` +
      'and not the same: one of them was forked or is of another life of the service. Find out ' +
      'which one its clients know (their receipts tell), and name that alone',
    { seqno },
  );
}
