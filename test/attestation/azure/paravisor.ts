// A paravisor and its vTPM, as far as evidence shows them: reports and quotes with keys of a test.

import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto';

export interface HclShape {
  readonly version?: number;
  /** Members that replace or add to those of the runtime data. */
  readonly runtime?: Readonly<Record<string, unknown>>;
  readonly configuration?: Readonly<Record<string, unknown>>;
  readonly userData?: Uint8Array;
}

export interface QuoteShape {
  readonly extraData: Uint8Array;
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
  /** All that are given by default. */
  readonly selection?: readonly number[];
  readonly bank?: number;
  readonly magic?: number;
  readonly type?: number;
}

const RUNTIME_AT = 0x4c0;
const NV_BYTES = 2600;

export class Paravisor {
  readonly attestationKey: KeyObject;

  constructor(attestationKey?: KeyObject) {
    this.attestationKey =
      attestationKey ?? generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  }

  /** SubjectPublicKeyInfo, DER. */
  publicKeyDer(): Buffer {
    return createPublicKey(this.attestationKey).export({ format: 'der', type: 'spki' });
  }

  /** What the hardware's report data begin with the digest of. */
  runtimeData(shape: HclShape = {}): Buffer {
    const { n, e } = createPublicKey(this.attestationKey).export({ format: 'jwk' });
    const userData = Buffer.from(shape.userData ?? Buffer.alloc(64));
    const data = {
      keys: [{ kid: 'HCLAkPub', key_ops: ['sign'], kty: 'RSA', e, n }],
      'vm-configuration': {
        'console-enabled': true,
        'secure-boot': true,
        'tpm-enabled': true,
        vmUniqueId: '26F8BC30-774E-4290-8E7A-535F3B672AEE',
        ...shape.configuration,
      },
      'user-data': userData.toString('hex').toUpperCase(),
      ...shape.runtime,
    };
    return Buffer.from(JSON.stringify(data));
  }

  /** The report data that the hardware's report must have: a digest, then zeros. */
  reportData(shape: HclShape = {}): Buffer {
    return Buffer.concat([sha256(this.runtimeData(shape)), Buffer.alloc(32)]);
  }

  hclReport(snpReport: Uint8Array, shape: HclShape = {}): Buffer {
    const data = this.runtimeData(shape);
    const report = Buffer.alloc(Math.max(NV_BYTES, RUNTIME_AT + 20 + data.length));
    report.write('HCLA', 0, 'latin1');
    const numbers: readonly (readonly [number, number])[] = [
      [0x04, shape.version ?? 1],
      [0x08, RUNTIME_AT + 20 + data.length],
      [0x0c, 2],
      [RUNTIME_AT, 20 + data.length],
      [RUNTIME_AT + 4, 1],
      [RUNTIME_AT + 8, 2],
      [RUNTIME_AT + 12, 1],
      [RUNTIME_AT + 16, data.length],
    ];
    for (const [at, value] of numbers) report.writeUInt32LE(value, at);
    report.set(snpReport, 0x20);
    report.set(data, RUNTIME_AT + 20);
    return report;
  }

  /** TPMS_ATTEST and its plain signature. */
  quote(shape: QuoteShape): { readonly message: Buffer; readonly signature: Buffer } {
    const selection = shape.selection ?? [...shape.pcrs.keys()];
    const bits = Buffer.alloc(3);
    for (const index of selection)
      bits[index >> 3] = (bits[index >> 3] ?? 0) | (1 << (index & 7));
    const ordered = [...selection].sort((left, right) => left - right);
    const values = ordered.map((index) => shape.pcrs.get(index) ?? Buffer.alloc(32));
    const message = Buffer.concat([
      number(4, shape.magic ?? 0xff544347),
      number(2, shape.type ?? 0x8018),
      sized(Buffer.concat([Buffer.from([0, 0x0b]), sha256(this.publicKeyDer())])),
      sized(shape.extraData),
      Buffer.alloc(8),
      number(4, 3),
      number(4, 0),
      number(1, 1),
      Buffer.alloc(8),
      number(4, 1),
      number(2, shape.bank ?? 0x000b),
      number(1, 3),
      bits,
      sized(sha256(Buffer.concat(values))),
    ]);
    return { message, signature: sign('sha256', message, this.attestationKey) };
  }
}

/** Registers 0 to 23 with values that differ. */
export function somePcrs(): Map<number, Buffer> {
  return new Map(
    Array.from({ length: 24 }, (_, index) => [index, sha256(Buffer.from(`register ${index}`))]),
  );
}

export function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/** As tpm2_quote writes a signature unless told `-f plain`. */
export function tpmtSignature(signature: Uint8Array): Buffer {
  return Buffer.concat([number(2, 0x0014), number(2, 0x000b), sized(signature)]);
}

function number(size: number, value: number): Buffer {
  const bytes = Buffer.alloc(size);
  bytes.writeUIntBE(value, 0, size);
  return bytes;
}

function sized(bytes: Uint8Array): Buffer {
  return Buffer.concat([number(2, bytes.length), bytes]);
}
