/**
 * A policy as people write it: a file of JSON, described in docs/attestation.md and read strictly,
 * for a word that is not understood would silently ask for nothing.
 */
import { fromHex } from '../base/portable-bytes.ts';
import type {
  AzureCvmPolicy,
  EvidencePolicy,
  SnpPolicy,
  TcbVersion,
  UvmPolicy,
  VirtualPolicy,
} from './policy.ts';
import { productOfCpuid, type SnpProduct } from './snp-product.ts';
import { parseTcb } from './snp-tcb.ts';
import {
  documentPlace,
  fault,
  fields,
  flag,
  hex,
  listOf,
  mapOf,
  oneOf,
  type Reader,
  readDocument,
  text,
  whole,
} from './strict-fields.ts';

/** Whose tokens are believed, and what they must say beside what the platforms' entries ask. */
export interface TokenPolicy {
  readonly issuers?: readonly string[];
  readonly complianceStatus?: readonly string[];
  readonly policyHashes?: readonly string[];
}

export interface PolicyFile {
  readonly version: 1;
  /** For whoever reads the file: what it is for. */
  readonly comment?: string;
  readonly platforms: EvidencePolicy['platforms'];
  readonly tokens?: TokenPolicy;
}

const POLICY_CHARS_MAX = 1_000_000;
const byte = whole(0, 255);

const tcbFields = fields<TcbVersion>(
  { fmc: byte, bootLoader: byte, tee: byte, snp: byte, microcode: byte },
  ['bootLoader', 'tee', 'snp', 'microcode'],
);

/** Processor → TCB: its parts, or sixteen digits as CCF and the Azure cache write it. */
const tcbMin: Reader<Readonly<Record<string, TcbVersion>>> = (value, place) => {
  const given = mapOf<unknown>(
    /^[0-9a-f]{8}$/,
    'a processor: eight hexadecimal digits in small letters, like 00a00f11',
    (each) => each,
  )(value, place);
  return Object.fromEntries(
    Object.entries(given).map(([cpuid, tcb]) => {
      const at = { ...place, name: `${place.name}.${cpuid}` };
      const product = productOf(cpuid);
      if (product === undefined) {
        throw fault(at, 'no processor of Milan, Genoa or Turin has this number');
      }
      const read = typeof tcb === 'string' ? tcbOfHex(product)(tcb, at) : tcbFields(tcb, at);
      if ((read.fmc !== undefined) !== (product === 'Turin')) {
        throw fault(at, `fmc is a part of the TCB of Turin only, and needed there`);
      }
      return [cpuid, read] as const;
    }),
  );
};

function tcbOfHex(product: SnpProduct): Reader<TcbVersion> {
  return (value, place) => {
    const raw = fromHex(hex(16)(value, place)) ?? new Uint8Array(8);
    try {
      return parseTcb(raw.reverse(), product);
    } catch (cause) {
      throw fault(place, `${JSON.stringify(value)} is no TCB of ${product}`, cause);
    }
  };
}

/** The product whose processors have this number (`cpuidKey`). */
function productOf(cpuid: string): SnpProduct | undefined {
  const eax = Number.parseInt(cpuid, 16);
  const family = ((eax >> 8) & 0x0f) + ((eax >> 20) & 0xff);
  const model = ((eax >> 4) & 0x0f) | ((eax >> 12) & 0xf0);
  return productOfCpuid({ family, model, stepping: eax & 0x0f });
}

const uvmEndorsements: Reader<UvmPolicy> = mapOf(
  /^did:x509:/,
  'an issuer: did:x509:…',
  mapOf(/^.+$/, 'the name of a feed', whole(0, 0xffff_ffff)),
);

const reportFields = {
  reportVersionMin: oneOf(2, 3, 5),
  measurements: listOf(hex(96)),
  uvmEndorsements,
  tcbMin,
  committedTcb: flag,
  signingKeys: listOf(oneOf('VCEK', 'VLEK')),
  vmpl: listOf(whole(0, 3)),
  revocation: oneOf('if-given', 'required'),
} as const;

const readSnpPolicy: Reader<SnpPolicy> = fields<SnpPolicy>({
  ...reportFields,
  hostData: listOf(hex(64)),
});

const readPlatforms = fields<PolicyFile['platforms']>({
  snp: readSnpPolicy,
  'azure-cvm': fields<AzureCvmPolicy>(
    {
      report: fields<Omit<SnpPolicy, 'hostData'>>(reportFields),
      pcrs: mapOf(
        /^(?:[0-9]|1[0-9]|2[0-3])$/,
        'a register of the vTPM: 0 to 23',
        listOf(hex(64)),
      ),
      secureBoot: flag,
    },
    ['report'],
  ),
  virtual: fields<VirtualPolicy>({ measurements: listOf(text()), hostData: listOf(hex(64)) }),
});

const readTokens = fields<TokenPolicy>({
  issuers: listOf(
    text(/^https:\/\/[^/\s]+$/, 'https:// and a host, without a slash at the end'),
  ),
  complianceStatus: listOf(text()),
  policyHashes: listOf(text(/^[A-Za-z0-9_-]{43}$/, 'a digest in base64url: 43 characters')),
});

const readFile = fields<PolicyFile>(
  { version: oneOf(1), comment: text(), platforms: readPlatforms, tokens: readTokens },
  ['version', 'platforms'],
);

/** Reads a policy file; throws `BadPolicy`, which names the place and what was meant. */
export function readPolicyFile(content: string): PolicyFile {
  const place = documentPlace('BadPolicy', 'this policy cannot be used');
  if (content.length > POLICY_CHARS_MAX)
    throw fault(place, `it has ${content.length} characters`);
  return readDocument(content, readFile, place);
}
