/**
 * Who may sign: the nodes and the service, as the ledger itself tells it from its first entry on
 * (ledger-format.md §12 and §15.4).
 */
import { bytesOfBase64, hexOf, textOf } from '../base/bytes.ts';
import { CodedError, messageOf } from '../base/errors.ts';
import {
  algorithmOfId,
  decodeSign1,
  HEADER_ALGORITHM,
  HEADER_CCF,
  innerMap,
  type Sign1,
  signatureStructure,
} from '../crypto/cose.ts';
import { sha256Hex } from '../crypto/hash.ts';
import { COSE_BY_CURVE, readPublicKey } from '../crypto/public-key.ts';
import type { Verifier } from '../crypto/verifier.ts';
import { type Certificate, certificateOfPem, endorsementFault } from '../crypto/x509.ts';
import type { MapWrites } from '../ledger/entry.ts';
import { FaultError, type Reason, rule } from './fault.ts';
import { jsonRow, jsonValue, optionalNumber, singleton, textField } from './rows.ts';

const NODES = 'public:ccf.gov.nodes.info';
const NODE_CERTIFICATES = 'public:ccf.gov.nodes.endorsed_certificates';
const SERVICE = 'public:ccf.gov.service.info';
const PREVIOUS_IDENTITY = 'public:ccf.gov.service.previous_service_identity';
const PREVIOUS_ROOT = 'public:ccf.internal.previous_service_last_signed_root';
const IDENTITY_ENDORSEMENT = 'public:ccf.internal.previous_service_identity_endorsement';

const NODE_STATUSES = ['Pending', 'Trusted', 'Retired'] as const;
type NodeStatus = (typeof NODE_STATUSES)[number];

const SERVICE_STATUSES = ['Opening', 'Open', 'WaitingForRecoveryShares', 'Recovering'] as const;
type ServiceStatus = (typeof SERVICE_STATUSES)[number];

/** What may follow a status; the same may, and Opening may always: disaster can strike any time. */
const TRANSITIONS: Readonly<Record<ServiceStatus, readonly ServiceStatus[]>> = {
  Opening: ['Open', 'WaitingForRecoveryShares'],
  Recovering: ['WaitingForRecoveryShares'],
  WaitingForRecoveryShares: ['Open'],
  Open: ['Recovering'],
};

export interface NetworkNode {
  readonly status: NodeStatus;
  readonly certificate?: Certificate;
}

/** Adds a check that takes time; see `DeferredChecks`. */
export type Defer = (reason: Reason, outcome: Promise<string | undefined>) => void;

export class Network {
  private readonly nodes = new Map<string, NetworkNode>();
  private readonly verifier: Verifier;
  private serviceCertificate: Certificate | undefined;
  private formerService: Certificate | undefined;
  private serviceStatus: ServiceStatus | undefined;
  private endorsementSeqno: number | undefined;
  private previousRoot: string | undefined;
  /** How often the service was recovered after a disaster. */
  recoveries = 0;
  /** PEM of every certificate the service had, oldest first. */
  readonly serviceCertificates: string[] = [];

  constructor(verifier: Verifier) {
    this.verifier = verifier;
  }

  /** What is known so far, to go on from: what the copy takes in does not change this one. */
  copy(): Network {
    const copy = new Network(this.verifier);
    for (const [id, node] of this.nodes) copy.nodes.set(id, node);
    copy.serviceCertificate = this.serviceCertificate;
    copy.formerService = this.formerService;
    copy.serviceStatus = this.serviceStatus;
    copy.endorsementSeqno = this.endorsementSeqno;
    copy.previousRoot = this.previousRoot;
    copy.recoveries = this.recoveries;
    copy.serviceCertificates.push(...this.serviceCertificates);
    return copy;
  }

  get service(): Certificate | undefined {
    return this.serviceCertificate;
  }

  get status(): string | undefined {
    return this.serviceStatus;
  }

  node(id: string): NetworkNode | undefined {
    return this.nodes.get(id);
  }

  /** Takes in what an entry writes. `lastRoot` is the root of the last signature before it. */
  apply(
    maps: readonly MapWrites[],
    seqno: number,
    lastRoot: Uint8Array | undefined,
    defer: Defer,
  ): void {
    // Most entries write application tables, which are none of the network's business.
    if (!maps.some(({ name }) => name.startsWith('public:ccf.'))) return;
    const before = this.serviceCertificate;
    this.applyService(maps, defer);
    this.applyRecovery(maps, before, lastRoot);
    const withOwn = this.applyNodes(maps);
    this.applyCertificates(maps, withOwn, defer);
    this.applyEndorsement(maps, seqno, defer);
  }

  private applyService(maps: readonly MapWrites[], defer: Defer): void {
    const value = singleton(maps, SERVICE, 'ServiceRow');
    if (value === undefined) return;
    const row = jsonRow(value, 'ServiceRow');
    const status = SERVICE_STATUSES.find((each) => each === row.status);
    rule(
      status !== undefined,
      'ServiceStatus',
      () => `this one is ${JSON.stringify(row.status)}`,
    );
    const from = this.serviceStatus;
    const allowed =
      from === undefined ||
      from === status ||
      status === 'Opening' ||
      TRANSITIONS[from].includes(status);
    rule(allowed, 'ServiceTransition', () => `${from} does not become ${status}`);
    const pem = textField(row, 'cert', 'ServiceCertificate');
    const certificate = readCertificate(pem, 'ServiceCertificate');
    if (this.serviceCertificates.at(-1) !== pem) this.serviceCertificates.push(pem);
    this.changeService(certificate, status, defer);
    this.serviceStatus = status;
  }

  private changeService(certificate: Certificate, status: ServiceStatus, defer: Defer): void {
    const current = this.serviceCertificate;
    if (current !== undefined && sameBytes(current.der, certificate.der)) return;
    if (current !== undefined && !sameBytes(current.publicKeyDer, certificate.publicKeyDer)) {
      const recovered = status === 'Opening' || status === 'Recovering';
      rule(recovered, 'ServiceKey', () => `it changed while the status is ${status}`);
      this.formerService = current;
      this.recoveries += 1;
    }
    defer('ServiceCertificate', this.endorsed(certificate, certificate));
    this.serviceCertificate = certificate;
  }

  private applyRecovery(
    maps: readonly MapWrites[],
    before: Certificate | undefined,
    lastRoot: Uint8Array | undefined,
  ): void {
    const identity = singleton(maps, PREVIOUS_IDENTITY, 'PreviousIdentity');
    if (identity !== undefined && before !== undefined) {
      // A JSON string in today's releases, bare PEM in former ones.
      const text = textOf(identity);
      const pem = text.startsWith('"') ? jsonValue(identity, 'PreviousIdentity') : text;
      const previous = readCertificate(String(pem), 'PreviousIdentity');
      const same = sameBytes(previous.der, before.der);
      rule(same, 'PreviousIdentity', () => 'this is another certificate');
    }
    const root = singleton(maps, PREVIOUS_ROOT, 'PreviousRoot');
    if (root === undefined) return;
    const value = jsonValue(root, 'PreviousRoot');
    rule(lastRoot !== undefined && value === hexOf(lastRoot), 'PreviousRoot', () => {
      return `this is ${JSON.stringify(value)}`;
    });
    this.previousRoot = String(value);
  }

  /** Gives back the nodes that brought a certificate of their own, as releases 1.x did. */
  private applyNodes(maps: readonly MapWrites[]): ReadonlySet<string> {
    const withOwn = new Set<string>();
    const map = maps.find(({ name }) => name === NODES);
    if (map === undefined) return withOwn;
    for (const [id, value] of map.writes) {
      rule(/^[0-9a-f]{64}$/.test(id), 'NodeRow', () => `${JSON.stringify(id)} is no node id`);
      const row = jsonRow(value, 'NodeRow');
      const status = NODE_STATUSES.find((each) => each === row.status);
      rule(
        status !== undefined,
        'NodeStatus',
        () => `node ${id} is ${JSON.stringify(row.status)}`,
      );
      const known = this.nodes.get(id);
      const stays = known?.status !== 'Retired' || status === 'Retired';
      rule(stays, 'NodeTransition', () => `node ${id} becomes ${status}`);
      const own = row.cert === undefined ? undefined : textField(row, 'cert', 'NodeRow');
      if (own !== undefined) withOwn.add(id);
      const certificate =
        own === undefined ? known?.certificate : readCertificate(own, 'NodeCertificate');
      this.nodes.set(id, { status, ...(certificate === undefined ? {} : { certificate }) });
    }
    for (const id of map.removes) {
      rule(this.nodes.delete(id), 'NodeUnknown', () => `${JSON.stringify(id)} is not`);
    }
    return withOwn;
  }

  private applyCertificates(
    maps: readonly MapWrites[],
    withOwn: ReadonlySet<string>,
    defer: Defer,
  ): void {
    const map = maps.find(({ name }) => name === NODE_CERTIFICATES);
    if (map === undefined) return;
    for (const [id, value] of map.writes) {
      rule(!withOwn.has(id), 'NodeCertificateTwice', () => `node ${id} has both`);
      const certificate = readCertificate(pemOf(value), 'NodeCertificate');
      const keyId = sha256Hex(certificate.publicKeyDer);
      rule(keyId === id, 'NodeCertificateKey', () => `${id} has the key of ${keyId}`);
      const { serviceCertificate } = this;
      rule(
        serviceCertificate !== undefined,
        'NodeEndorsement',
        () => 'there is no service yet',
      );
      defer('NodeEndorsement', this.endorsed(certificate, serviceCertificate));
      const known = this.nodes.get(id);
      rule(known !== undefined, 'NodeUnknown', () => `${id} is not, and gets a certificate`);
      this.nodes.set(id, { ...known, certificate });
    }
    // A pending node is removed without ever having had a certificate: nothing to check.
    for (const id of map.removes) {
      const known = this.nodes.get(id);
      if (known !== undefined) this.nodes.set(id, { status: known.status });
    }
  }

  private async endorsed(
    certificate: Certificate,
    issuer: Certificate,
  ): Promise<string | undefined> {
    try {
      return await endorsementFault(certificate, issuer, this.verifier);
    } catch (thrown) {
      if (thrown instanceof CodedError) return thrown.message;
      throw thrown;
    }
  }

  private applyEndorsement(maps: readonly MapWrites[], seqno: number, defer: Defer): void {
    const value = singleton(maps, IDENTITY_ENDORSEMENT, 'IdentityRow');
    if (value === undefined) return;
    const { serviceCertificate } = this;
    rule(serviceCertificate !== undefined, 'IdentityKey', () => 'there is no service yet');
    const row = jsonRow(value, 'IdentityRow');
    const message = identityMessage(row);
    const key = bytesOfBase64(textField(row, 'endorsing_key', 'IdentityRow'));
    const own = serviceCertificate.publicKeyDer;
    rule(key !== undefined && sameBytes(key, own), 'IdentityKey', () => 'this is another one');
    const end = row.endorsement_epoch_end;
    const endorsed = end === undefined ? own : this.formerService?.publicKeyDer;
    const isIt = endorsed !== undefined && sameBytes(message.payload ?? NOTHING, endorsed);
    rule(isIt, 'IdentityPayload', () => 'this is another key');
    mustTellSameEpoch(row, message, this.previousRoot);
    const previous = optionalNumber(row, 'previous_version', 'IdentityRow');
    rule(previous === this.endorsementSeqno, 'IdentityPrevious', () => {
      return `it says ${previous}, and that was ${this.endorsementSeqno}`;
    });
    this.endorsementSeqno = seqno;
    defer('IdentitySignature', this.identitySignature(message, serviceCertificate));
  }

  private async identitySignature(
    message: Sign1,
    service: Certificate,
  ): Promise<string | undefined> {
    const info = readPublicKey(service.publicKeyDer);
    if (info.kind !== 'ec') return "the service's key is no elliptic curve key";
    const { algorithm, hash } = COSE_BY_CURVE[info.curve];
    const named = algorithmOfId(message.protectedHeader.get(HEADER_ALGORITHM));
    if (named !== algorithm) return `its algorithm ${named} does not go with ${info.curve}`;
    const good = await this.verifier.ecdsa({
      publicKeyDer: service.publicKeyDer,
      signature: message.signature,
      encoding: 'raw',
      hash,
      message: signatureStructure(message.protectedBytes, message.payload ?? NOTHING),
    });
    return good ? undefined : 'this one does not';
  }
}

const NOTHING = new Uint8Array(0);

function identityMessage(row: Readonly<Record<string, unknown>>): Sign1 {
  const bytes = bytesOfBase64(textField(row, 'endorsement', 'IdentityRow'));
  if (bytes === undefined) throw new FaultError('IdentityRow', 'endorsement is not base64');
  try {
    return decodeSign1(bytes);
  } catch (thrown) {
    throw new FaultError('IdentityRow', messageOf(thrown));
  }
}

function mustTellSameEpoch(
  row: Readonly<Record<string, unknown>>,
  message: Sign1,
  previousRoot: string | undefined,
): void {
  const epoch = innerMap(message.protectedHeader, HEADER_CCF);
  const begin = epoch?.get('epoch.start.txid');
  const end = epoch?.get('epoch.end.txid');
  const same = begin === row.endorsement_epoch_begin && end === row.endorsement_epoch_end;
  rule(same && typeof begin === 'string', 'IdentityEpoch', () => {
    const told = `${row.endorsement_epoch_begin} to ${row.endorsement_epoch_end}`;
    return `the row says ${told}, the header ${begin} to ${end}`;
  });
  const root = epoch?.get('epoch.end.merkle.root');
  if (previousRoot === undefined || root === undefined) return;
  const isIt = root instanceof Uint8Array && hexOf(root) === previousRoot;
  rule(isIt, 'IdentityEpoch', () => 'its root is not the one signed last');
}

/** PEM bytes as they are, or as a JSON string. */
function pemOf(value: Uint8Array): string {
  const text = Buffer.from(value).toString('latin1');
  return text.startsWith('"') ? String(jsonValue(value, 'NodeCertificate')) : text;
}

function readCertificate(pem: string, reason: Reason): Certificate {
  try {
    return certificateOfPem(pem);
  } catch (thrown) {
    throw new FaultError(reason, messageOf(thrown));
  }
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}
