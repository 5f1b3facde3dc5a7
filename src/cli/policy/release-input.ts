/**
 * The one input from which all policies of a release are made (`enclave-policy/release.json`), read
 * strictly. What each entry is for, `enclave-policy/README.md` says.
 */
import type { TcbVersion } from '../../attestation/policy.ts';
import { readPolicyFile } from '../../attestation/policy-file.ts';
import {
  documentPlace,
  fault,
  fields,
  flag,
  hex,
  listOf,
  oneOf,
  type Reader,
  readDocument,
  text,
  whole,
} from '../../attestation/strict-fields.ts';
import { messageOf } from '../../base/errors.ts';

export interface EnvironmentRule {
  /** `NAME=value`, or a regular expression (RE2) for all of it. */
  readonly pattern: string;
  readonly strategy: 'string' | 're2';
  readonly required: boolean;
}

export interface MountRule {
  readonly destination: string;
  /** The kind of volume: where its files come from on the host. */
  readonly volume: 'emptyDir' | 'azureFile' | 'secret' | 'resolvconf';
  readonly readOnly: boolean;
}

export interface ContainerInput {
  /** The container's name in the deployment. */
  readonly name: string;
  /** For people: the image's name. Its layers are what counts. */
  readonly image: string;
  /** dm-verity root hashes in the order of the image: the lowest layer first. */
  readonly layers: readonly string[];
  readonly command: readonly string[];
  readonly workingDirectory: string;
  readonly environment: readonly EnvironmentRule[];
  readonly mounts: readonly MountRule[];
  readonly capabilities: readonly string[];
  /** Numbers of signals that the host may send. */
  readonly signals: readonly number[];
  /** Whether the host may read what it writes: logs must hold nothing secret then. */
  readonly output: boolean;
}

export interface ReleaseInput {
  readonly version: 1;
  readonly name: string;
  readonly release: string;
  readonly containers: readonly ContainerInput[];
  /** What the cloud itself runs in the group. */
  readonly infrastructure: {
    readonly pauseLayer: string;
    readonly fragmentIssuer: string;
    readonly fragmentFeed: string;
    readonly fragmentSvnMin: number;
  };
  readonly utilityVm: {
    readonly issuer: string;
    readonly feed: string;
    readonly svnMin: number;
  };
  /** Processor → lowest TCB. */
  readonly tcbMin: Readonly<Record<string, TcbVersion>>;
  /** Issuers of tokens that Key Vault believes. */
  readonly attestationServices: readonly string[];
  /** Whether these are our own, under our policy; shared ones have a policy of Microsoft's. */
  readonly ownAttestationPolicy: boolean;
}

const readContainer = fields<ContainerInput>(
  {
    name: text(/^[a-z][a-z0-9-]*$/, 'a name of small letters, digits and dashes'),
    image: text(),
    layers: listOf(hex(64)),
    command: listOf(text()),
    workingDirectory: text(/^\//, 'a folder that begins with /'),
    environment: listOf(
      fields<EnvironmentRule>(
        {
          pattern: text(/^[^=]+=/, 'NAME=value'),
          strategy: oneOf('string', 're2'),
          required: flag,
        },
        ['pattern', 'strategy', 'required'],
      ),
    ),
    mounts: listOf(
      fields<MountRule>(
        {
          destination: text(/^\//, 'a path that begins with /'),
          volume: oneOf('emptyDir', 'azureFile', 'secret', 'resolvconf'),
          readOnly: flag,
        },
        ['destination', 'volume', 'readOnly'],
      ),
    ),
    capabilities: listOf(text(/^CAP_[A-Z_]+$/, 'a capability of Linux: CAP_…')),
    signals: listOf(whole(1, 64)),
    output: flag,
  },
  [
    ...(['name', 'image', 'layers', 'command', 'workingDirectory', 'environment'] as const),
    ...(['mounts', 'capabilities', 'signals', 'output'] as const),
  ],
);

/** By the rules of policy files, where the same is said. */
const tcbMin: Reader<ReleaseInput['tcbMin']> = (value, place) => {
  try {
    const file = JSON.stringify({ version: 1, platforms: { snp: { tcbMin: value } } });
    return readPolicyFile(file).platforms.snp?.tcbMin ?? {};
  } catch (cause) {
    throw fault(place, messageOf(cause), cause);
  }
};

const did = text(/^did:x509:/, 'an issuer: did:x509:…');

const readInput = fields<ReleaseInput>(
  {
    version: oneOf(1),
    name: text(),
    release: text(),
    containers: listOf(readContainer),
    infrastructure: fields<ReleaseInput['infrastructure']>(
      {
        pauseLayer: hex(64),
        fragmentIssuer: did,
        fragmentFeed: text(),
        fragmentSvnMin: whole(0, 0xffff),
      },
      ['pauseLayer', 'fragmentIssuer', 'fragmentFeed', 'fragmentSvnMin'],
    ),
    utilityVm: fields<ReleaseInput['utilityVm']>(
      { issuer: did, feed: text(), svnMin: whole(0, 0xffff) },
      ['issuer', 'feed', 'svnMin'],
    ),
    tcbMin,
    attestationServices: listOf(
      text(/^https:\/\/[^/\s]+$/, 'https:// and a host, without a slash at the end'),
    ),
    ownAttestationPolicy: flag,
  },
  [
    ...(['version', 'name', 'release', 'containers', 'infrastructure', 'utilityVm'] as const),
    ...(['tcbMin', 'attestationServices', 'ownAttestationPolicy'] as const),
  ],
);

const PLACE = documentPlace('BadRelease', 'this release cannot be used');

/** Reads the input; throws `BadRelease`, which names the place. */
export function readReleaseInput(content: string): ReleaseInput {
  const input = readDocument(content, readInput, PLACE);
  const empty = (['containers', 'attestationServices'] as const).find(
    (name) => input[name].length === 0,
  );
  if (empty !== undefined) throw fault({ ...PLACE, name: empty }, 'it names none');
  if (Object.keys(input.tcbMin).length === 0) {
    throw fault({ ...PLACE, name: 'tcbMin' }, 'without a processor, no node can join');
  }
  return input;
}

/** Whether images are still without layers: policies then let none of them start. */
export function isDraft({ containers }: ReleaseInput): boolean {
  return containers.some(({ layers }) => layers.length === 0);
}
