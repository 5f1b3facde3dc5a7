/**
 * Disaster recovery in the tables (ledger-format.md §12, node-lifecycle.md §8): the transaction by
 * which a new service takes over the ledger of one that is lost, the members' decision to go on,
 * and the transaction that opens it once the former secrets are back.
 */
import { base64Of, hexOf, textOf, utf8 } from '../base/bytes.ts';
import type { Random } from '../base/environment.ts';
import { CodedError, messageOf } from '../base/errors.ts';
import { type Seqno, seqnoOf } from '../base/ids.ts';
import type { Wrap } from '../crypto/key-source.ts';
import { certificateOfPem } from '../crypto/x509.ts';
import type { ReadView, Transaction } from '../kv/tables.ts';
import { allNodes, nodeKey, serviceInfo } from './nodes.ts';
import { type NodeDescription, writeNode } from './opening.ts';
import { previousStored, shareHoldersOf, writeSecretRows } from './recovery-shares.ts';
import { SUBMITTED_SHARES } from './submitted-shares.ts';
import {
  IDENTITY_ENDORSEMENT,
  jsonRow,
  NODE_INFO,
  SERVICE_INFO,
  type ServiceInfoRow,
  type ServiceStatus,
  SINGLETON,
} from './tables.ts';

const PREVIOUS_IDENTITY = 'public:ccf.gov.service.previous_service_identity';
const PREVIOUS_ROOT = 'public:ccf.internal.previous_service_last_signed_root';
const LAST_RECOVERY_TYPE = 'public:ccf.internal.last_recovery_type';
/**
 * First seqno of a recovered service, 16 digits → JSON `FormerServiceRow`: how it vouches for the
 * service before it. Receipts of former services lead to today's over these.
 */
const SERVICE_ENDORSEMENTS = 'public:concordat.service_endorsements';

export interface FormerServiceRow {
  /** PEM: the key of the service before, in a certificate signed by this one; for JSON receipts. */
  readonly certificate: string;
  /** The same as COSE_Sign1 (ledger-format.md §12.1), base64; for COSE receipts. */
  readonly endorsement: string;
}

export interface RecoveryCreation {
  readonly serviceCertificatePem: string;
  /** The transaction that this is going to be, `view.seqno`. */
  readonly createTxId: string;
  /** The root that the former service signed last. */
  readonly lastRoot: Uint8Array;
  /** The node that recovers it, and its only one. */
  readonly node: NodeDescription;
}

/** Writes the first transaction of a service recovered from a ledger. */
export function writeRecoveryCreation(
  transaction: Transaction,
  { serviceCertificatePem, createTxId, lastRoot, node }: RecoveryCreation,
): void {
  const services = transaction.table(SERVICE_INFO);
  const before = mustBeService(transaction);
  const version = services.versionOf(SINGLETON);
  retireNodes(transaction);
  writeNode(transaction, node);
  transaction.table(PREVIOUS_IDENTITY).put(SINGLETON, jsonRow(before.cert));
  transaction.table(PREVIOUS_ROOT).put(SINGLETON, jsonRow(hexOf(lastRoot)));
  const row = {
    ...before,
    cert: serviceCertificatePem,
    status: 'Recovering',
    recovery_count: (before.recovery_count ?? 0) + 1,
    current_service_create_txid: createTxId,
    ...(version === undefined ? {} : { previous_service_identity_version: version }),
  };
  services.put(SINGLETON, jsonRow(row));
}

/** None of the former nodes takes part any more, and none of them is waited for. */
function retireNodes(transaction: Transaction): void {
  const table = transaction.table(NODE_INFO);
  for (const { nodeId, info } of allNodes(transaction)) {
    const key = nodeKey(nodeId);
    if (info.status === 'Pending') table.remove(key);
    else {
      table.put(key, jsonRow({ ...info, status: 'Retired', retired_committed: true }));
    }
  }
}

/** Arguments of the action `transition_service_to_open` (governance.md §6). */
export interface ServiceIdentities {
  /** PEM of the present service's certificate. */
  readonly next_service_identity: string;
  /** PEM of the one that it was recovered from; only, and always, at a recovery. */
  readonly previous_service_identity?: string;
}

/**
 * The members' decision that the service may open. A new service opens at once, with what `open`
 * writes; a recovered one waits for recovery shares from here on. Gives back the status that
 * stands then; throws coded errors whose `fields.status` is that of HTTP.
 */
export function transitionServiceToOpen(
  transaction: Transaction,
  { next_service_identity: next, previous_service_identity: previous }: ServiceIdentities,
  open: (transaction: Transaction) => void,
): ServiceStatus {
  const info = mustBeService(transaction);
  if (info.status === 'Open' || info.status === 'WaitingForRecoveryShares') return info.status;
  mustBeSame(next, info.cert, 'next_service_identity', 'this service');
  if (info.status === 'Opening') {
    if (previous !== undefined) {
      throw refused('previous_service_identity is given, but this service is a new one');
    }
    open(transaction);
    return 'Open';
  }
  if (previous === undefined) {
    throw refused('previous_service_identity is missing, and this service was recovered');
  }
  const former = transaction.table(PREVIOUS_IDENTITY).get(SINGLETON);
  const formerPem = former === undefined ? '' : String(JSON.parse(textOf(former)));
  mustBeSame(previous, formerPem, 'previous_service_identity', 'the service before it');
  const status = 'WaitingForRecoveryShares';
  transaction.table(SERVICE_INFO).put(SINGLETON, jsonRow({ ...info, status }));
  return status;
}

function mustBeSame(given: string, held: string, name: string, whose: string): void {
  let givenDer: Uint8Array;
  try {
    givenDer = certificateOfPem(given).der;
  } catch (cause) {
    throw refused(`${name} is no certificate in PEM: ${messageOf(cause)}`);
  }
  if (Buffer.compare(givenDer, certificateOfPem(held).der) === 0) return;
  throw refused(`${name} is not the certificate of ${whose}`);
}

export interface RecoveredSecrets {
  readonly type: RecoveryType;
  /** The secret that the new service began with. */
  readonly secret: { readonly secret: Uint8Array; readonly from: Seqno };
  /** The last one of the service before. */
  readonly former: { readonly secret: Uint8Array; readonly from: Seqno };
}

/** How the new service vouches for the key of the one before (ledger-format.md §12.1). */
export interface FormerEndorsement {
  readonly cose: Uint8Array;
  readonly certificatePem: string;
  readonly endorsingKeyDer: Uint8Array;
  readonly begin: string;
  readonly end: string;
}

/** What opened the former secret: the members' shares, or a key released to attested code. */
export type RecoveryType = 'RECOVERY_SHARES' | 'KEY_RELEASE';

/** Writes the rows by which a recovered service opens, its private state being back. */
export function writeRecovered(
  transaction: Transaction,
  { secret, former, type }: RecoveredSecrets,
  endorsement: FormerEndorsement,
  random: Random,
  wrap: Wrap,
): void {
  const info = mustBeService(transaction);
  transaction.table(SERVICE_INFO).put(SINGLETON, jsonRow({ ...info, status: 'Open' }));
  const endorsements = transaction.table(IDENTITY_ENDORSEMENT);
  const before = endorsements.versionOf(SINGLETON);
  const row = {
    endorsement: base64Of(endorsement.cose),
    endorsing_key: base64Of(endorsement.endorsingKeyDer),
    endorsement_epoch_begin: endorsement.begin,
    endorsement_epoch_end: endorsement.end,
    ...(before === undefined ? {} : { previous_version: before }),
  };
  endorsements.put(SINGLETON, jsonRow(row));
  const first = utf8(String(secret.from).padStart(SEQNO_DIGITS, '0'));
  const vouched: FormerServiceRow = {
    certificate: endorsement.certificatePem,
    endorsement: base64Of(endorsement.cose),
  };
  transaction.table(SERVICE_ENDORSEMENTS).put(first, jsonRow(vouched));
  const submitted = transaction.table(SUBMITTED_SHARES);
  for (const { key } of submitted.page()) submitted.remove(key);
  transaction.table(LAST_RECOVERY_TYPE).put(SINGLETON, jsonRow(type));
  writeSecretRows(
    transaction,
    {
      ...secret,
      previous: former,
      ...shareHoldersOf(transaction),
      nodes: [],
      ...previousStored(transaction),
    },
    random,
    wrap,
  );
}

const SEQNO_DIGITS = 16;

/**
 * The certificates (PEM) over which a receipt of `seqno` leads to the present service: of each
 * service from its own on, by the one after it. Empty for the present service's own.
 */
export function serviceEndorsementsAfter(view: ReadView, seqno: Seqno): readonly string[] {
  return view
    .table(SERVICE_ENDORSEMENTS)
    .page()
    .filter(({ key }) => seqnoOf(Number(textOf(key))) > seqno)
    .map(({ value }) => (JSON.parse(textOf(value)) as FormerServiceRow).certificate);
}

/** How each service vouches for the one before it, the latest first. */
export function formerServiceRows(view: ReadView): readonly FormerServiceRow[] {
  return view
    .table(SERVICE_ENDORSEMENTS)
    .page()
    .map(({ value }) => JSON.parse(textOf(value)) as FormerServiceRow)
    .reverse();
}

function mustBeService(view: ReadView): ServiceInfoRow {
  const info = serviceInfo(view);
  if (info === undefined) throw new CodedError('LedgerDamaged', 'the ledger has no service');
  return info;
}

function refused(why: string): CodedError {
  const message = `the service cannot go on to open: ${why}`;
  return new CodedError('InvalidInput', message, { status: 400 });
}
