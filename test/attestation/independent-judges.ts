// The independent judges of SEV-SNP reports: go-sev-guest's `check` and virtee's `snpguest`, each
// as an operator would run it offline, on the same bytes and with the same demands as ours.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SnpProduct } from '../../src/attestation/snp-product.ts';
import { certificatesOfPem } from '../../src/crypto/pem-certificates.ts';
import { runJudge } from '../support/judges.ts';
import { pemOf } from './fake-certificates.ts';
import { certTable } from './sources/cert-tables.ts';

/** What every judge is shown. */
export interface ShownCase {
  readonly name: string;
  readonly report: Uint8Array;
  /** PEM: the chip's or the cloud's certificate, its authority's, the root's; or nothing. */
  readonly chain: string;
  readonly kind: 'VCEK' | 'VLEK';
  readonly product: SnpProduct;
  /** Authority and root that are believed in, PEM; AMD's own if absent. */
  readonly believed?: string;
  readonly demands?: {
    readonly measurement: string;
    readonly hostData: string;
    readonly vmpl: number;
    /** The least TCB, as a number of 64 bits in hexadecimal. */
    readonly tcbMin: string;
  };
}

export interface Opinion {
  readonly accepted: boolean;
  /** In its own words, or the code of ours. */
  readonly said: string;
}

export type IndependentJudge = (shown: ShownCase, folder: string) => Promise<Opinion>;

/** `check` of github.com/google/go-sev-guest/tools. */
export function goSevGuest(program: string): IndependentJudge {
  return async ({ report, chain, kind, product, believed, demands }, folder) => {
    const [leaf, authority, root] = certificatesOfPem(chain);
    const certificates =
      leaf === undefined || authority === undefined || root === undefined
        ? {}
        : { [kind]: leaf, ASK: authority, ARK: root };
    const file = join(folder, 'report-and-certificates.bin');
    writeFileSync(file, Buffer.concat([report, certTable(certificates)]));
    const bundle = join(folder, 'believed.pem');
    if (believed !== undefined) writeFileSync(bundle, believed);
    return await opinionOf(program, [
      `-in=${file}`,
      '-inform=bin',
      '-network=false',
      `-product=${product}`,
      // Threads of one core may be shared, which is Azure's way; nothing else is allowed.
      `-guest_policy=${0x3_0000}`,
      ...(believed === undefined ? [] : [`-product_key_path=${bundle}`]),
      ...(demands === undefined
        ? []
        : [
            `-measurement=${demands.measurement}`,
            `-host_data=${demands.hostData}`,
            `-vmpl=${demands.vmpl}`,
            `-minimum_tcb=0x${demands.tcbMin}`,
          ]),
    ]);
  };
}

/** `snpguest` of github.com/virtee. It believes in whatever root lies beside the certificate. */
export function snpguest(program: string): IndependentJudge {
  return async ({ report, chain, kind, product, demands }, folder) => {
    const certificates = join(folder, 'certificates');
    mkdirSync(certificates, { recursive: true });
    const names = [kind.toLowerCase(), kind === 'VLEK' ? 'asvk' : 'ask', 'ark'];
    for (const [index, der] of certificatesOfPem(chain).entries()) {
      writeFileSync(join(certificates, `${names[index]}.pem`), pemOf(der));
    }
    const file = join(folder, 'report.bin');
    writeFileSync(file, report);
    const origin = await opinionOf(program, ['verify', 'certs', certificates]);
    if (!origin.accepted) return origin;
    return await opinionOf(program, [
      ...['verify', 'attestation', certificates, file, '-p', product.toLowerCase()],
      ...(demands === undefined
        ? []
        : ['-m', `0x${demands.measurement}`, '-d', `0x${demands.hostData}`]),
    ]);
  };
}

/** What stands before the reason. */
const PREAMBLES = [
  /^(?:ERROR|Error): /,
  /^could not verify attestation signature: /,
  /^error validating attestation: /,
];

async function opinionOf(program: string, args: readonly string[]): Promise<Opinion> {
  const { code, stdout, stderr } = await runJudge(program, args, { timeoutMs: 60_000 });
  if (code === 0) return { accepted: true, said: '' };
  const lines = `${stderr}\n${stdout}`
    .split('\n')
    .map((line) => PREAMBLES.reduce((rest, one) => rest.replace(one, ''), line).trim())
    .filter((line) => line !== '' && !line.startsWith('WARN'));
  return { accepted: false, said: lines[0] ?? `it ended with ${code}` };
}
