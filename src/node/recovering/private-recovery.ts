/**
 * The second half of a disaster recovery, in a node that runs with public state alone: it takes the
 * members' shares in, or has a key released to its code, and once either opens the former secret,
 * reads the private part back, puts it in place, and opens the service.
 */
import { secretsBackFrom } from '../../audit/recover-secrets.ts';
import { invariant } from '../../base/assert.ts';
import type { Clock, Disk, Random, Timers } from '../../base/environment.ts';
import { CodedError, messageOf } from '../../base/errors.ts';
import { type Seqno, seqnoOf, type TxId, textOfTxId } from '../../base/ids.ts';
import { certificatePublicKeyDer } from '../../crypto/certificates.ts';
import { serviceInfo } from '../../governance/nodes.ts';
import { type RecoveryType, writeRecovered } from '../../governance/recovery.ts';
import {
  type ReleaseKey,
  type ReleaseKeyRow,
  releaseKeysIn,
  secretFromRelease,
} from '../../governance/recovery-release.ts';
import {
  type ShareSubmission,
  secretFromShares,
  submitShare,
} from '../../governance/submitted-shares.ts';
import type { Transaction } from '../../kv/tables.ts';
import type { DatedSecret } from '../../ledger/secret-history.ts';
import { endorseFormer } from '../node-certificates.ts';
import type { NodeLog } from '../node-options.ts';
import type { OpenedLedger } from '../opened-ledger.ts';
import { replay } from '../replay.ts';
import type { SealedFolder } from '../sealed-folder.ts';
import { SecretPool } from '../secret-pool.ts';
import type { LedgerRecovery } from './recovered-ledger.ts';

export interface PrivateRecoveryDependencies {
  readonly ledger: OpenedLedger;
  readonly sealed: SealedFolder;
  readonly ledgerFolder: string;
  readonly archivedTables: readonly string[];
  readonly disk: Disk;
  readonly random: Random;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: NodeLog;
  /** Commits a transaction of the service itself. */
  readonly commit: (write: (transaction: Transaction) => void) => Promise<TxId>;
  readonly onFatal: (error: unknown) => void;
  /** Absent where this node can have no key released. */
  readonly release?: RecoveryRelease | undefined;
}

/**
 * Has the private half of such a key (PKCS#8) released to this node's code. Rejects with a coded
 * error that says why it is not.
 */
export type RecoveryRelease = (key: ReleaseKeyRow) => Promise<Uint8Array>;

/** After a round in which no key was released. */
const RELEASE_PAUSE_MS = 15_000;

export class PrivateRecovery {
  readonly #deps: PrivateRecoveryDependencies;
  readonly #recovery: LedgerRecovery;
  #phase: 'waiting' | 'reading' | 'done' = 'waiting';
  #stopped = false;
  #running: Promise<void> = Promise.resolve();
  #isAsking = false;
  #cancelPause: (() => void) | undefined;

  constructor(recovery: LedgerRecovery, dependencies: PrivateRecoveryDependencies) {
    this.#recovery = recovery;
    this.#deps = dependencies;
  }

  /** Whether the private state is still missing. */
  get isPending(): boolean {
    return this.#phase !== 'done';
  }

  /** The first entry that this service itself wrote: what is before it cannot be opened yet. */
  get firstSeqno(): Seqno {
    return this.#recovery.create.seqno;
  }

  /** See `governance/submitted-shares.ts`; throws `NodeAlreadyRecovering` (403) as well. */
  submit(transaction: Transaction, memberId: string, share: Uint8Array): ShareSubmission {
    if (this.#phase !== 'waiting') {
      const why = 'Node is already recovering private ledger.';
      throw new CodedError('NodeAlreadyRecovering', why, { status: 403 });
    }
    const { random } = this.#deps;
    return submitShare(transaction, memberId, share, { secret: this.#own.bytes, random });
  }

  /** Looks at the committed state: the shares in it may suffice. */
  onCommit(): void {
    if (this.#phase !== 'waiting') return;
    const view = this.#deps.ledger.state.store.committedView;
    if (serviceInfo(view)?.status !== 'WaitingForRecoveryShares') return;
    const secret = secretFromShares(view, this.#own.bytes);
    if (secret !== undefined) this.#begin(secret, 'RECOVERY_SHARES');
    else this.#askForRelease();
  }

  #begin(secret: Uint8Array, type: RecoveryType): void {
    this.#phase = 'reading';
    this.#cancelPause?.();
    this.#running = this.#recover(secret, type).catch((error: unknown) => {
      if (!this.#stopped) this.#deps.onFatal(error);
    });
  }

  /** Has the keys released that members have allowed, until one is or the shares are there. */
  #askForRelease(): void {
    const { release, ledger } = this.#deps;
    const keys = releaseKeysIn(ledger.state.store.committedView);
    if (release === undefined || keys.length === 0 || this.#isAsking) return;
    this.#isAsking = true;
    this.#askAll(keys, release).catch(this.#deps.onFatal);
  }

  async #askAll(keys: readonly ReleaseKey[], release: RecoveryRelease): Promise<void> {
    const { log, timers } = this.#deps;
    for (const { name, row } of keys) {
      const secret = await this.#released(name, row, release).catch((error: unknown) => {
        log.warn(`the release key ${JSON.stringify(name)} is of no use: ${messageOf(error)}`);
      });
      if (this.#phase !== 'waiting' || this.#stopped) return;
      if (secret === undefined) continue;
      this.#begin(secret, 'KEY_RELEASE');
      return;
    }
    this.#cancelPause = timers.after(RELEASE_PAUSE_MS, () => {
      this.#isAsking = false;
      this.onCommit();
    });
  }

  async #released(
    name: string,
    row: ReleaseKeyRow,
    release: RecoveryRelease,
  ): Promise<Uint8Array> {
    const { ledger } = this.#deps;
    const key = ledger.identity.keys.openUnwrappingKey(await release(row));
    return secretFromRelease(ledger.state.store.committedView, name, (wrapped) =>
      key.unwrap(wrapped),
    );
  }

  /** Gives up; the recovery is begun again at the next start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelPause?.();
    await this.#running;
  }

  /** The secret of the service that goes on. */
  get #own(): DatedSecret {
    const own = this.#deps.ledger.state.secrets.datedAt(this.firstSeqno);
    invariant(own !== undefined, 'the recovering service has a secret of its own');
    return own;
  }

  async #recover(latest: Uint8Array, type: RecoveryType): Promise<void> {
    const { ledger, sealed, log, random, clock, commit } = this.#deps;
    const { state, pool, identity } = ledger;
    const { last, create, formerCertificatePem, formerBegin, lastRoot } = this.#recovery;
    const how = type === 'KEY_RELEASE' ? 'a key released to this code' : "the members' shares";
    log.info(`the former ledger secret is open, by ${how}: reading the private part`);
    const former = this.#dated(latest);
    for (const secret of former) await sealed.putLedgerSecret(secret);
    const store = await this.#readBack(former);
    const own = this.#own;
    state.secrets.addFormer(former);
    for (const secret of former) pool.add(secret);
    state.store.adoptPrivateTables(store);
    const epoch = {
      publicKeyDer: certificatePublicKeyDer(formerCertificatePem),
      begin: formerBegin,
      end: textOfTxId(last),
      root: lastRoot,
    };
    const { serviceCertificatePem } = ledger;
    const endorsed = await endorseFormer(identity, serviceCertificatePem, epoch, clock.nowMs());
    const newest = former.at(-1);
    invariant(newest !== undefined, 'a ledger has a secret');
    const endorsement = {
      ...endorsed,
      endorsingKeyDer: identity.serviceKey.publicKeyDer,
      begin: epoch.begin,
      end: epoch.end,
    };
    const secrets = {
      type,
      secret: { secret: own.bytes, from: create.seqno },
      former: { secret: newest.bytes, from: newest.from },
    };
    const { wrapTo } = identity.keys;
    this.#phase = 'done';
    await commit((tx) => writeRecovered(tx, secrets, endorsement, random, wrapTo));
    log.info('the service is open again');
  }

  /** All former secrets, with the view of the entry that each begins with. */
  #dated(latest: Uint8Array): readonly DatedSecret[] {
    const { views } = this.#deps.ledger.state;
    return secretsBackFrom(latest, this.#recovery.secretRows).map(({ from, bytes }) => {
      const seqno = seqnoOf(from);
      return { from: seqno, view: views.viewAt(seqno), bytes };
    });
  }

  async #readBack(secrets: readonly DatedSecret[]) {
    const { disk, ledgerFolder: folder, archivedTables, log, timers } = this.#deps;
    const { chunks, bytes: total, last } = this.#recovery;
    const startedMs = timers.elapsedMs();
    const { state, lastSigned } = await replay({
      ...{ disk, folder, chunks, archivedTables },
      secrets: new SecretPool(secrets),
      onProgress: (entries, bytes) => {
        if (this.#stopped) throw new CodedError('NodeStopping', 'the node stops');
        const left = timeLeft(timers.elapsedMs() - startedMs, bytes, total);
        log.progress(`reading the private part (${entries} entries${left})`, bytes, total, 'B');
      },
    });
    invariant(lastSigned?.seqno === last.seqno, 'the private part ends with the public one');
    return state.store;
  }
}

/** `, 12 s left`, once that can be said. */
export function timeLeft(elapsedMs: number, done: number, total: number): string {
  if (done === 0 || elapsedMs < 1_000 || done >= total) return '';
  return `, ${Math.ceil((elapsedMs * (total - done)) / done / 1_000)} s left`;
}
