// Our verdicts beside those of the independent judges, on recorded reports, on these spoilt, and on
// the recorded negatives. Every difference is one that is known and explained (attestation-snp.md
// §7); we accept nothing that another refuses unless it cannot judge it.
//
//   CONCORDAT_GO_SEV_GUEST: go install github.com/google/go-sev-guest/tools/check@v0.15.0
//   CONCORDAT_SNPGUEST:     cargo install snpguest --version 0.11.0

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AMD_ROOTS } from '../../src/attestation/amd-roots.ts';
import type { AmdRoots } from '../../src/attestation/judging.ts';
import type { SnpPolicy } from '../../src/attestation/policy.ts';
import { SNP_SHARED_POLICY } from '../../src/attestation/snp-verdict.ts';
import { certificatesOfPem } from '../../src/crypto/pem-certificates.ts';
import { judgePath, vectorsFolder } from '../support/judges.ts';
import { pemOf } from './fake-certificates.ts';
import { sha256Hex, snpEvidence } from './fake-pki.ts';
import {
  goSevGuest,
  type IndependentJudge,
  type Opinion,
  type ShownCase,
  snpguest,
} from './independent-judges.ts';
import { judged } from './judged.ts';

type JudgeName = 'go-sev-guest' | 'snpguest';

/** Why a judge differs from us. */
interface Difference {
  /** It passes what must be refused, or it cannot judge what is good. */
  readonly it: 'is lax' | 'cannot';
  readonly why: string;
}

type Differences = Readonly<Record<JudgeName, Readonly<Record<string, Difference>>>>;

const lax = (why: string): Difference => ({ it: 'is lax', why });
const cannot = (why: string): Difference => ({ it: 'cannot', why });

const PROVISIONAL = cannot(
  "it wants the platform's committed TCB to be its current one, which Azure's are not (§7)",
);
const FLAGS = lax("it judges chain, TCB and signature, not what the report's fields mean (§7)");

const DIFFERENCES: Differences = {
  'go-sev-guest': {
    'aci-milan-v2-maa-sample': PROVISIONAL,
    'azcvm-milan-v2-trustee': PROVISIONAL,
    'turin-v5-oak': cannot('it knows no fmcSPL, which every certificate of Turin holds (§7)'),
    'negative: mask-chip-key': lax('it does not look at MASK_CHIP_KEY (§7)'),
    'negative: zero-chip-id': lax('it takes a chip id of zeros for one that is not told (§7)'),
  },
  snpguest: {
    'aws-milan-v3-vlek-trustee': lax('it does not look at the validity of certificates'),
    'gce-milan-v2-debug-gosevguest': FLAGS,
    'negative: committed-lower': lax('it knows no minimum TCB'),
    'negative: debug-policy': FLAGS,
    'negative: mask-chip-key': FLAGS,
    'negative: migrate-ma': FLAGS,
    'negative: other-chip-id': lax('it takes `SEV-VCEK` for an ASK, which has no chip id (§7)'),
    'negative: policy-reserved17-zero': FLAGS,
    'negative: sigalgo-2': FLAGS,
    'negative: signing-key-none': FLAGS,
    'negative: signing-key-vlek': FLAGS,
    'negative: version-99': FLAGS,
    'negative: vmpl-1': FLAGS,
    'negative: vmpl-host': FLAGS,
    'negative: zero-chip-id': lax('it takes `SEV-VCEK` for an ASK, which has no chip id (§7)'),
    "negative: fake-ok by AMD's roots": lax(
      'it believes the root that comes with the evidence',
    ),
    'negative: fake-ok with an expired VCEK': lax('it does not look at validity'),
  },
};

interface Judged {
  readonly name: string;
  readonly ours: Opinion;
  readonly theirs: Readonly<Partial<Record<JudgeName, Opinion>>>;
}

/** A sentence for each difference that is not explained as what it is, and the other way round. */
function faultsOf(rows: readonly Judged[], differences: Differences): readonly string[] {
  return rows.flatMap(({ name, ours, theirs }) =>
    (Object.entries(theirs) as [JudgeName, Opinion][]).flatMap(([judge, opinion]) => {
      const known = differences[judge][name]?.it;
      const is =
        ours.accepted === opinion.accepted
          ? undefined
          : opinion.accepted
            ? ('is lax' as const)
            : ('cannot' as const);
      if (known === is) return [];
      return [`${name}: ${judge} ${is ?? 'agrees'}, explained is that it ${known ?? 'agrees'}`];
    }),
  );
}

describe('the comparison', () => {
  const yes: Opinion = { accepted: true, said: '' };
  const no: Opinion = { accepted: false, said: 'no' };
  const none: Differences = { 'go-sev-guest': {}, snpguest: {} };
  const known = (it: Difference): Differences => ({ ...none, snpguest: { a: it } });
  const rows = (ours: Opinion, theirs: Opinion): readonly Judged[] => [
    { name: 'a', ours, theirs: { snpguest: theirs } },
  ];

  test.each<readonly [Opinion, Opinion, Differences, number]>([
    [yes, yes, none, 0],
    [no, no, none, 0],
    [no, yes, known(FLAGS), 0],
    [yes, no, known(PROVISIONAL), 0],
    // Planted: what must be noticed.
    [yes, no, none, 1],
    [no, yes, none, 1],
    [yes, no, known(FLAGS), 1],
    [no, yes, known(PROVISIONAL), 1],
    [yes, yes, known(FLAGS), 1],
  ])('ours %j beside %j, by %j: %i faults', (ours, theirs, differences, faults) => {
    expect(faultsOf(rows(ours, theirs), differences)).toHaveLength(faults);
  });
});

interface Case extends ShownCase {
  readonly policy: SnpPolicy;
  readonly roots: AmdRoots;
}

const VECTORS = vectorsFolder();
const NEGATIVES = resolve(import.meta.dirname, '../vectors/snp/negative-milan');

function recordedCases(folder: string): readonly Case[] {
  const names = readdirSync(folder).filter(
    (name) =>
      existsSync(join(folder, name, 'report.bin')) &&
      existsSync(join(folder, name, 'meta.json')),
  );
  return names.flatMap((name) => {
    const { processor, report: noted } = JSON.parse(
      readFileSync(join(folder, name, 'meta.json'), 'utf8'),
    );
    const report = new Uint8Array(readFileSync(join(folder, name, 'report.bin')));
    const file = join(folder, name, 'chain.pem');
    const chain = existsSync(file) ? readFileSync(file, 'utf8') : '';
    const kind = noted.signing_key;
    const good: Case = {
      ...{ name, report, chain, kind },
      // go-sev-guest has AMD's authorities of chips with it, but not those of clouds.
      ...(kind === 'VLEK' ? { believed: pemOf(...certificatesOfPem(chain).slice(1)) } : {}),
      product: processor ?? 'Milan',
      policy: SNP_SHARED_POLICY,
      roots: AMD_ROOTS,
    };
    // One byte each of what was signed and of the signature: everybody must see that.
    const spoilt = [0x50, 0x2a0].map((at): Case => {
      const bytes = Uint8Array.from(report);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      const what = at < 0x2a0 ? 'report data' : 'signature';
      return { ...good, name: `${name}, ${what} spoilt`, report: bytes };
    });
    return [good, ...spoilt];
  });
}

function negativeCases(): readonly Case[] {
  const text = (name: string): string => readFileSync(join(NEGATIVES, name), 'utf8');
  const bytes = (name: string): Uint8Array =>
    new Uint8Array(readFileSync(join(NEGATIVES, `${name}.bin`)));
  const believed = text('ask.pem') + text('ark.pem');
  const [ark = new Uint8Array(0)] = certificatesOfPem(text('ark.pem'));
  const tcb = { bootLoader: 4, tee: 0, snp: 24, microcode: 219 };
  const good = bytes('fake-ok');
  const demands = {
    measurement: Buffer.from(good.subarray(0x90, 0xc0)).toString('hex'),
    hostData: Buffer.from(good.subarray(0xc0, 0xe0)).toString('hex'),
    vmpl: 0,
    tcbMin: 'db18000000000004',
  };
  const one = (name: string, more: Partial<Case> = {}): Case => ({
    name: `negative: ${name}`,
    report: good,
    chain: text('vcek.pem') + believed,
    kind: 'VCEK',
    product: 'Milan',
    believed,
    demands,
    policy: {
      measurements: [demands.measurement],
      hostData: [demands.hostData],
      tcbMin: { '00a00f11': tcb },
      committedTcb: true,
    },
    roots: { Milan: [sha256Hex(ark)] },
    ...more,
  });
  const recorded = Object.keys(JSON.parse(text('cases.json')));
  const { believed: _, ...byAmd } = one("fake-ok by AMD's roots", { roots: AMD_ROOTS });
  return [
    ...recorded.map((name) => one(name, { report: bytes(name) })),
    byAmd,
    one('fake-ok with an expired VCEK', { chain: text('vcek-expired.pem') + believed }),
    one('fake-ok with the VCEK of an older TCB', {
      chain: text('vcek-older-tcb.pem') + believed,
    }),
  ];
}

async function ours({ report, chain, policy, roots }: Case): Promise<Opinion> {
  const whole = { platforms: { snp: policy } };
  // The others know no time but now.
  const evidence = snpEvidence(report, chain);
  const { accepted, refusal } = await judged(evidence, { whole, roots, atMs: Date.now() });
  return { accepted, said: refusal?.code ?? '' };
}

function tableOf(rows: readonly Judged[]): string {
  const cell = (opinion: Opinion | undefined, judge?: JudgeName, name = ''): string => {
    if (opinion === undefined) return '(not here)';
    const { accepted, said } = opinion;
    const difference = judge === undefined ? undefined : DIFFERENCES[judge][name];
    const mark = difference === undefined ? '' : ` [${difference.it}: ${difference.why}]`;
    return (accepted ? 'accepts' : `refuses: ${said.slice(0, 90)}`) + mark;
  };
  const lines = rows.map(({ name, ours: own, theirs }) =>
    [
      name,
      own.accepted ? 'accept' : own.said,
      cell(theirs['go-sev-guest'], 'go-sev-guest', name),
      cell(theirs.snpguest, 'snpguest', name),
    ].join(' | '),
  );
  return ['case | ours | go-sev-guest 0.15.0 | snpguest 0.11.0', ...lines].join('\n');
}

const PROGRAMS: readonly (readonly [
  JudgeName,
  string,
  (program: string) => IndependentJudge,
])[] = [
  ['go-sev-guest', 'CONCORDAT_GO_SEV_GUEST', goSevGuest],
  ['snpguest', 'CONCORDAT_SNPGUEST', snpguest],
];

const present = PROGRAMS.flatMap(([name, variable, judge]) => {
  const program = judgePath(variable);
  if (program !== undefined) return [[name, judge(program)] as const];
  console.warn(`SKIPPED "${name} beside ours": set ${variable} to its program`);
  return [];
});

describe.skipIf(present.length === 0)('beside independent judges', () => {
  const folder = mkdtempSync(join(tmpdir(), 'concordat-judges-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  if (VECTORS === undefined) {
    console.warn('SKIPPED "recorded reports beside independent judges": set CONCORDAT_VECTORS');
  }
  const cases = [
    ...(VECTORS === undefined ? [] : recordedCases(join(VECTORS, 'snp'))),
    ...negativeCases(),
  ];
  const rows: Judged[] = [];

  beforeAll(async () => {
    for (const [index, one] of cases.entries()) {
      const own = join(folder, String(index));
      mkdirSync(own);
      const theirs: Partial<Record<JudgeName, Opinion>> = {};
      for (const [name, judge] of present) theirs[name] = await judge(one, own);
      rows.push({ name: one.name, ours: await ours(one), theirs });
    }
    console.info(tableOf(rows));
  }, 300_000);

  test('every difference is explained, and every explanation is of a difference', () => {
    expect(faultsOf(rows, DIFFERENCES)).toEqual([]);
  });

  test('what they all refuse is not accepted here, unless none of them can judge it', () => {
    const alone = rows.filter(
      ({ ours: own, theirs }) =>
        own.accepted && Object.values(theirs).every(({ accepted }) => !accepted),
    );
    for (const { name, theirs } of alone) {
      for (const judge of Object.keys(theirs) as JudgeName[]) {
        expect(DIFFERENCES[judge][name]?.it, `${name}, ${judge}`).toBe('cannot');
      }
    }
  });

  test('no explanation is of a case that does not exist', () => {
    const names = new Set(cases.map(({ name }) => name));
    const explained = present.flatMap(([judge]) => Object.keys(DIFFERENCES[judge]));
    const unknown = explained.filter(
      (name) => !names.has(name) && (VECTORS !== undefined || name.startsWith('negative')),
    );
    expect(unknown).toEqual([]);
  });
});
