/** `concordat verify report`: evidence in files, judged offline. */
import { parseArgs } from 'node:util';
import { readEvidence } from '../../audit/attestation/evidence-files.ts';
import { type EvidenceSubject, judgeSubject } from '../../audit/attestation/subject.ts';
import { nodeVerifier } from '../../crypto/verifier-node.ts';
import type { CommandIo } from '../command.ts';
import {
  bindingOf,
  JUDGING_OPTIONS,
  JUDGING_USAGE,
  termsOf,
  usage,
} from './judging-options.ts';
import { conclude } from './outcome.ts';
import { EXIT_CODES } from './verdict-exit.ts';
import type { VerifyWorld } from './world.ts';

export const REPORT_USAGE = `Usage:
  concordat verify report FILE --endorsements CHAIN.pem [OPTIONS]
  concordat verify report FOLDER [OPTIONS]

FILE is an SEV-SNP report (1184 bytes), a paravisor's report (HCLA), or evidence in JSON as nodes
show it. FOLDER holds report.bin or hcl-report.bin with tpm-quote.msg, tpm-quote.sig and
tpm-pcrs.json; chain.pem, or vcek.pem (vlek.pem) with ask.pem and ark.pem; and, if there are any,
uvm_endorsements.cose and cce-policy.rego.

Options:
  --endorsements FILE         certificates: leaf, intermediate, root; AMD's own may be left out
  --uvm FILE                  endorsements of the utility VM (COSE)
  --container-policy FILE     the host data must be the digest of this policy (rego)
  --key FILE                  the evidence must be bound to this key or certificate (PEM)
  --report-data HEX           the evidence must be bound to these bytes (32 to 64)
${JUDGING_USAGE}

${EXIT_CODES}`;

export async function verifyReport(
  args: readonly string[],
  io: CommandIo,
  world: VerifyWorld,
): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    strict: true,
    allowPositionals: true,
    options: {
      ...JUDGING_OPTIONS,
      endorsements: { type: 'string' },
      uvm: { type: 'string' },
      'container-policy': { type: 'string' },
      key: { type: 'string' },
      'report-data': { type: 'string' },
    },
  });
  const [path, ...rest] = positionals;
  if (path === undefined) throw usage('say which report: a file or a folder');
  if (rest.length > 0) throw usage(`one report at a time, not also ${rest.join(' ')}`);
  const { terms, policyName } = await termsOf(values, world);
  const binding = await bindingOf(values['report-data'], values.key);
  const { endorsements, uvm, 'container-policy': containerPolicy } = values;
  const found = await readEvidence(path, {
    ...(endorsements === undefined ? {} : { endorsements }),
    ...(uvm === undefined ? {} : { uvm }),
    ...(containerPolicy === undefined ? {} : { containerPolicy }),
  });
  const { notes, ...subject } = found;
  const judged: EvidenceSubject = {
    kind: 'evidence',
    ...subject,
    ...(binding === undefined ? {} : { binding }),
  };
  const verdict = await judgeSubject(judged, terms, nodeVerifier);
  const all = [{ subject: judged, verdict }];
  const outcome = { judged: all, saved: all, terms, policyName, notes };
  return await conclude(outcome, values, io);
}
