/**
 * Actions of the default constitution on nodes and on the code that may join (governance.md §6).
 */
export const NODE_ACTIONS = `
// Who may join: an addition changes what every open proposal was voted on, a removal does not.
const joinPolicy = (noun, table, argument, check, value) => {
  action('add_' + noun, { [argument]: check }, (args, proposalId) => {
    gov(table).set(bytes(args[argument]), value());
    invalidateOtherOpenProposals(proposalId);
  });
  action('remove_' + noun, { [argument]: check }, (args) => remove(table, args[argument]));
};
const allowed = () => ccf.jsonCompatibleToBuf('AllowedToJoin');
const member = () => SINGLETON;
joinPolicy('node_code', 'nodes.code_ids', 'code_id', hexDigits(64), allowed);
joinPolicy('snp_measurement', 'nodes.snp.measurements', 'measurement', hexDigits(96), allowed);
joinPolicy('virtual_measurement', 'nodes.virtual.measurements', 'measurement', string, allowed);
joinPolicy('virtual_host_data', 'nodes.virtual.host_data', 'host_data', hexDigits(64), member);

joinPolicy(
  'azure_cvm_measurement',
  'nodes.azure_cvm.measurements',
  'measurement',
  hexDigits(96),
  allowed,
);
// Registers of a confidential VM's TPM: each must have one of the values that are listed for it.
const cvmPcrs = 'nodes.azure_cvm.pcrs';
const pcrValues = (value, at) => {
  array(value, at);
  want(value.length > 0 && value.length <= 64, at, 'a list of 1 to 64 values', value);
  value.forEach((each, index) => hexDigits(64)(each, at + '[' + index + ']'));
};
action(
  'set_azure_cvm_pcr',
  { index: integer(0, 23), values: pcrValues },
  ({ index, values }, proposalId) => {
    write(cvmPcrs, String(index), values);
    invalidateOtherOpenProposals(proposalId);
  },
);
action('remove_azure_cvm_pcr', { index: integer(0, 23) }, ({ index }) =>
  remove(cvmPcrs, String(index)),
);

const hexOf = (buffer) =>
  [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
action(
  'add_snp_host_data',
  { host_data: hexDigits(64), security_policy: string },
  (args, proposalId) => {
    write('nodes.snp.host_data', args.host_data, args.security_policy);
    invalidateOtherOpenProposals(proposalId);
  },
  ({ host_data, security_policy }) => {
    if (security_policy === '') return;
    const digest = hexOf(ccf.crypto.digest('SHA-256', bytes(security_policy)));
    if (digest !== host_data)
      fail('host_data must be SHA-256 of security_policy, which is ' + digest);
  },
);
action('remove_snp_host_data', { host_data: hexDigits(64) }, ({ host_data }) =>
  remove('nodes.snp.host_data', host_data),
);

action(
  'add_snp_uvm_endorsement',
  { did: string, feed: string, svn: string },
  (args, proposalId) => {
    const { did, feed, svn } = args;
    write('nodes.snp.uvm_endorsements', did, {
      ...read('nodes.snp.uvm_endorsements', did),
      [feed]: { svn },
    });
    invalidateOtherOpenProposals(proposalId);
  },
  ({ svn }) => want(/^[0-9]+$/.test(svn), 'svn', 'a whole number as a string', svn),
);
action('remove_snp_uvm_endorsement', { did: string, feed: string }, ({ did, feed }) => {
  const feeds = read('nodes.snp.uvm_endorsements', did);
  if (feeds === undefined) return;
  const left = without(feeds, feed);
  if (Object.keys(left).length === 0) remove('nodes.snp.uvm_endorsements', did);
  else write('nodes.snp.uvm_endorsements', did, left);
});

const TCB_PARTS = ['boot_loader', 'tee', 'snp', 'microcode'];
action(
  'set_snp_minimum_tcb_version',
  {
    cpuid: hexDigits(8),
    tcb_version: (value, at) => {
      object(value, at);
      for (const part of TCB_PARTS) integer(0, 255)(value[part], at + '.' + part);
    },
  },
  ({ cpuid, tcb_version }, proposalId) => {
    write('nodes.snp.tcb_versions', cpuid, tcb_version);
    invalidateOtherOpenProposals(proposalId);
  },
);
action(
  'set_snp_minimum_tcb_version_hex',
  { cpuid: hexDigits(8), tcb_version: hexDigits(16) },
  (args, proposalId) => {
    write(
      'nodes.snp.tcb_versions',
      args.cpuid,
      ccf.tcbHexToPolicy(args.cpuid, args.tcb_version),
    );
    invalidateOtherOpenProposals(proposalId);
  },
);
action('remove_snp_minimum_tcb_version', { cpuid: hexDigits(8) }, ({ cpuid }) => {
  if (!has('nodes.snp.tcb_versions', cpuid))
    fail('there is no minimum TCB version for ' + cpuid);
  remove('nodes.snp.tcb_versions', cpuid);
});

const nodeOf = (id) => read('nodes.info', id) ?? fail('there is no node ' + id);
action(
  'set_node_data',
  { node_id: entityId, node_data: anything },
  ({ node_id, node_data }) => {
    write('nodes.info', node_id, { ...nodeOf(node_id), node_data });
  },
);

const DAYS_MAX = 365;
const validDays = (days, setting) => {
  const most = readOne('service.config')?.[setting] ?? DAYS_MAX;
  if (days > most) fail('Validity period ' + days + ' is not allowed: max allowed is ' + most);
  return days ?? most;
};
const endorse = (id, csr, valid_from, days) => {
  const period = validDays(days, 'maximum_node_certificate_validity_days');
  const certificate = ccf.network.generateEndorsedCertificate(csr, valid_from, period);
  gov('nodes.endorsed_certificates').set(bytes(id), bytes(certificate));
};
const validity = { valid_from: string, validity_period_days: optional(integer(1, 100000)) };
action('transition_node_to_trusted', { node_id: entityId, ...validity }, (args) => {
  const { node_id, valid_from, validity_period_days } = args;
  const info = nodeOf(node_id);
  if (info.status !== 'Pending') return;
  const ledger_secret_seqno = ccf.network.getLatestLedgerSecretSeqno();
  write('nodes.info', node_id, { ...info, status: 'Trusted', ledger_secret_seqno });
  const csr = info.certificate_signing_request;
  if (csr !== undefined) endorse(node_id, csr, valid_from, validity_period_days);
});
action('remove_node', { node_id: entityId }, ({ node_id }) => {
  const info = read('nodes.info', node_id);
  if (info === undefined) return;
  if (info.status === 'Pending') {
    remove('nodes.info', node_id);
    return;
  }
  let others = 0;
  each('nodes.info', (id, other) => {
    if (id !== node_id && other.status === 'Trusted') others += 1;
  });
  if (others === 0) fail('node ' + node_id + ' is the only one that is trusted');
  if (info.status === 'Trusted') write('nodes.info', node_id, { ...info, status: 'Retired' });
});
action('set_node_certificate_validity', { node_id: entityId, ...validity }, (args) => {
  const info = nodeOf(args.node_id);
  if (info.status !== 'Trusted') fail('node ' + args.node_id + ' is not trusted');
  const csr =
    info.certificate_signing_request ??
    fail('node ' + args.node_id + ' asked for no certificate');
  endorse(args.node_id, csr, args.valid_from, args.validity_period_days);
});
action(
  'set_all_nodes_certificate_validity',
  validity,
  ({ valid_from, validity_period_days }) => {
    each('nodes.info', (id, info) => {
      const csr = info.certificate_signing_request;
      if (info.status !== 'Trusted' || csr === undefined) return;
      endorse(id, csr, valid_from, validity_period_days);
    });
  },
);
action('set_service_certificate_validity', validity, ({ valid_from, validity_period_days }) => {
  const days = validDays(validity_period_days, 'maximum_service_certificate_validity_days');
  const info = readOne('service.info') ?? fail('there is no service yet');
  writeOne('service.info', {
    ...info,
    cert: ccf.network.generateNetworkCertificate(valid_from, days),
  });
});
`;
