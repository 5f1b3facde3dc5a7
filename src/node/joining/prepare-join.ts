/**
 * Joining a service (node-lifecycle.md §4), from an empty folder to one that can be started like
 * that of a node which was always there:
 *
 *     keys sealed → the ledger so far, verified → asking, and more of the ledger while waiting →
 *     secrets and the service's key sealed → the rest of the ledger, a snapshot → marked as joined
 *
 * The ledger comes first because a node that is trusted counts for every commit from then on, and
 * one that still had hours of ledger to fetch would hold its service up. Each step can be
 * interrupted; the next attempt goes on with what is there, as the same node.
 */
import { utf8 } from '../../base/bytes.ts';
import type { Clock, Disk, Random, Sealer, Timers } from '../../base/environment.ts';
import { CodedError, isCoded, messageOf } from '../../base/errors.ts';
import { type NodeId, seqnoOf, type TxId } from '../../base/ids.ts';
import { type KeySource, systemKeys } from '../../crypto/key-source.ts';
import type { Verifier } from '../../crypto/verifier.ts';
import { certificateOfPem } from '../../crypto/x509.ts';
import { networkOf } from '../../governance/opening.ts';
import type { JoinRequestBody } from '../../http/join-wire.ts';
import { SecretHistory } from '../../ledger/secret-history.ts';
import type { Identity } from '../identity.ts';
import {
  describeNode,
  makeSelfSignedCertificate,
  type NodeAddresses,
} from '../node-certificates.ts';
import { foldersOf, makeFolders, type NodeFolders } from '../node-folders.ts';
import type { NodeLog } from '../node-options.ts';
import { type EvidenceDependencies, ownEvidence } from '../own-evidence.ts';
import type { Peer } from '../peers/peer-network.ts';
import { SealedFolder } from '../sealed-folder.ts';
import { virtualSealer } from '../virtual-sealer.ts';
import { askToJoin } from './asking.ts';
import { openHttpSources } from './http-join-source.ts';
import type { JoinSources, OpenSources } from './join-source.ts';
import { sealAdmission, sealJoined } from './joined-service.ts';
import { claimFolder, type JoinerKeys, joinerKeys } from './joiner-keys.ts';
import { LedgerFetch } from './ledger-fetch.ts';
import { LedgerVerifier } from './ledger-verifier.ts';
import type { Admission } from './network-info.ts';
import { type FetchedSnapshot, fetchSnapshot } from './snapshot-fetch.ts';

export interface JoinOptions {
  /** As in `NodeOptions`. */
  readonly folder: string;
  /** Where clients and other nodes will reach this node: it goes into the ledger. */
  readonly addresses: NodeAddresses;
  /** PEM of the certificate of the service to be joined: whoever it endorsed is believed. */
  readonly serviceCertificatePem: string;
  /** Where nodes of the service serve clients, `host:port` each. */
  readonly targets: readonly string[];
  readonly fetchSnapshot: boolean;
  readonly retryMs: number;
  /** Of the applications that the node runs. */
  readonly archivedTables: readonly string[];
  readonly nodeData?: unknown;
}

export interface JoinDependencies extends EvidenceDependencies {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: NodeLog;
  readonly openSealer?: (disk: Disk, folder: string, random: Random) => Promise<Sealer>;
  readonly keys?: KeySource;
  /** Real connections unless a test has its own. */
  readonly openSources?: OpenSources;
  /** Ends joining early; it can be gone on with. */
  readonly signal?: AbortSignal;
}

/** The service that a node has joined; its folder holds all of it but the peers' addresses. */
export interface JoinedService {
  readonly identity: Identity;
  readonly serviceCertificatePem: string;
  /** Absent if the service endorsed none: then the node makes one at its start. */
  readonly nodeCertificatePem?: string;
  readonly secrets: Admission['secrets'];
  /** The other nodes at that moment: whom to ask as long as the ledger does not say more. */
  readonly peers: readonly Peer[];
  readonly coseSignatures: Admission['coseSignatures'];
  /** The last entry of the ledger that was fetched; undefined when no chunk was closed yet. */
  readonly ledgerEnd: TxId | undefined;
  readonly snapshot?: FetchedSnapshot;
}

/** Holds unfinished files while a node joins. */
const PARTS = 'joining';

/**
 * Joins a service. Resolves when the node's folder can be started; rejects with `AlreadyJoined`,
 * `ForeignFolder`, `JoinRefused`, `LedgerRefused`, `JoinStopped` and what these name.
 */
export async function prepareJoin(
  options: JoinOptions,
  dependencies: JoinDependencies,
): Promise<JoinedService> {
  return await new Joiner(options, dependencies).run();
}

class Joiner {
  readonly #options: JoinOptions;
  readonly #deps: JoinDependencies;
  readonly #folders: NodeFolders;
  readonly #partFolder: string;
  readonly #keySource: KeySource;
  readonly #verifier: Verifier;
  /** Where nodes serve clients: the targets first, then those that were heard of. */
  #addresses: readonly string[];

  constructor(options: JoinOptions, dependencies: JoinDependencies) {
    this.#options = options;
    this.#deps = dependencies;
    this.#folders = foldersOf(options.folder);
    this.#partFolder = `${options.folder}/${PARTS}`;
    this.#keySource = dependencies.keys ?? systemKeys;
    this.#verifier = dependencies.verifier ?? this.#keySource.verifier;
    this.#addresses = options.targets;
  }

  async run(): Promise<JoinedService> {
    const { disk, random, clock, openSources = openHttpSources } = this.#deps;
    const { folder, addresses, serviceCertificatePem, targets } = this.#options;
    if (targets.length === 0) {
      throw new CodedError('NoTarget', 'joining needs the address of a node of the service');
    }
    const serviceKeyDer = certificateOfPem(serviceCertificatePem).publicKeyDer;
    await makeFolders(disk, this.#folders);
    await disk.makeFolder(this.#partFolder);
    const openSealer = this.#deps.openSealer ?? virtualSealer;
    const sealer = await openSealer(disk, this.#folders.sealed, random);
    const sealed = new SealedFolder(disk, this.#folders.sealed, sealer);
    const fingerprint = await this.#verifier.hash('SHA-256', serviceKeyDer);
    await claimFolder(sealed, folder, Buffer.from(fingerprint).toString('hex'));
    const keys = await joinerKeys(sealed, random, this.#keySource);
    const certificatePem = await makeSelfSignedCertificate(keys, addresses, clock.nowMs());
    const sources = openSources({ certificatePem, key: keys.nodeKey, serviceCertificatePem });
    try {
      return await this.#join(sealed, keys, certificatePem, sources, serviceKeyDer);
    } finally {
      sources.close();
    }
  }

  async #join(
    sealed: SealedFolder,
    keys: JoinerKeys,
    certificatePem: string,
    sources: JoinSources,
    serviceKeyDer: Uint8Array,
  ): Promise<JoinedService> {
    const ledger = this.#ledgerFetch(sources, serviceKeyDer);
    await ledger.resume();
    await this.#hearOfNodes(sources);
    await ledger.fetchAll();
    const admission = await this.#ask(keys, certificatePem, sources, ledger);
    await sealAdmission(sealed, admission);
    await ledger.fetchAll();
    const snapshot = await this.#snapshot(admission, sources, ledger.last);
    await sealJoined(sealed);
    const { nodeCertificatePem, serviceCertificatePem, serviceKey } = admission;
    return {
      identity: { ...keys, serviceKey },
      serviceCertificatePem,
      ...(nodeCertificatePem === undefined ? {} : { nodeCertificatePem }),
      secrets: admission.secrets,
      peers: admission.peers,
      coseSignatures: admission.coseSignatures,
      ledgerEnd: ledger.last,
      ...(snapshot === undefined ? {} : { snapshot }),
    };
  }

  #ledgerFetch(sources: JoinSources, serviceKeyDer: Uint8Array): LedgerFetch {
    const { disk, timers, log, signal } = this.#deps;
    return new LedgerFetch(
      {
        addresses: () => this.#addresses,
        retryMs: this.#options.retryMs,
        ledgerFolder: this.#folders.ledger,
        partFolder: this.#partFolder,
        asideFolder: this.#folders.aside,
      },
      {
        ...{ disk, timers, log, sources },
        ...(signal === undefined ? {} : { signal }),
        newVerifier: () => new LedgerVerifier(serviceKeyDer, this.#verifier),
      },
    );
  }

  /** Adds the nodes that a target names; without an answer there are the targets themselves. */
  async #hearOfNodes(sources: JoinSources): Promise<void> {
    for (const target of this.#options.targets) {
      try {
        const heard = await sources.at(target).addresses();
        this.#addresses = [...new Set([...this.#addresses, ...heard])];
        return;
      } catch (thrown) {
        if (!isCoded(thrown, 'SourceUnreachable')) throw thrown;
        this.#deps.log.info(messageOf(thrown));
      }
    }
  }

  async #ask(
    keys: JoinerKeys,
    certificatePem: string,
    sources: JoinSources,
    ledger: LedgerFetch,
  ): Promise<Admission> {
    const { timers, log, signal } = this.#deps;
    const { addresses, nodeData, retryMs, targets, serviceCertificatePem } = this.#options;
    const own = await ownEvidence(keys.nodeKey.publicKeyDer, this.#deps);
    const node = await describeNode(keys, certificatePem, addresses, own);
    const nodeId = node.nodeId as NodeId;
    const keySource = this.#keySource;
    const trust = { nodeId, serviceCertificatePem, keys: keySource, verifier: this.#verifier };
    const body = (): Uint8Array => {
      const request: JoinRequestBody = {
        node_info_network: networkOf(node),
        quote_info: node.evidence,
        public_encryption_key: node.encryptionPublicKeyPem,
        startup_seqno: ledger.last?.seqno ?? seqnoOf(0),
        certificate_signing_request: node.certificateRequestPem,
        ...(nodeData === undefined ? {} : { node_data: nodeData }),
      };
      return utf8(JSON.stringify(request));
    };
    return await askToJoin(
      { targets: () => [...new Set([...targets, ...this.#addresses])], retryMs, trust, body },
      {
        ...{ sources, timers, log },
        ...(signal === undefined ? {} : { signal }),
        whilePending: () => ledger.fetchAll(),
        // A target may be a node that has left the service, or that waits for this very one.
        whileRefused: () => this.#hearOfNodes(sources),
      },
    );
  }

  async #snapshot(
    admission: Admission,
    sources: JoinSources,
    end: TxId | undefined,
  ): Promise<FetchedSnapshot | undefined> {
    if (!this.#options.fetchSnapshot || end === undefined) return undefined;
    const { disk, log, signal } = this.#deps;
    const history = new SecretHistory();
    for (const secret of admission.secrets) history.add(secret);
    return await fetchSnapshot(
      this.#addresses.map((address) => sources.at(address)),
      {
        ...{ disk, log, partFolder: this.#partFolder },
        ...(signal === undefined ? {} : { signal }),
        snapshotFolder: this.#folders.snapshots,
        trust: {
          serviceCertificate: admission.serviceCertificatePem,
          verifier: this.#verifier,
        },
        source: {
          archivedTables: this.#options.archivedTables,
          secretAt: (seqno) => history.at(seqno),
        },
        ledgerEnd: end.seqno,
      },
    );
  }
}
