/**
 * Actions of the default constitution on members and users (governance.md §2 and §6).
 */
export const MEMBER_ACTIONS = `
const ROLES = ['NonParticipant', 'Participant', 'Owner'];
// What an active member is to recovery.
const roleOf = (memberId) => {
  const info = read('members.info', memberId);
  if (info?.status !== 'Active' || !has('members.encryption_public_keys', memberId))
    return 'NonParticipant';
  return info.recovery_role ?? 'Participant';
};
const participants = () => {
  let count = 0;
  each('members.info', (id) => {
    if (roleOf(id) === 'Participant') count += 1;
  });
  return count;
};
const threshold = () => readOne('service.config')?.recovery_threshold ?? 0;

action(
  'set_constitution',
  {
    constitution: (value, at) => {
      string(value, at);
      ccf.gov.validateConstitution(value);
    },
  },
  ({ constitution }, proposalId) => {
    writeOne('constitution', constitution);
    invalidateOtherOpenProposals(proposalId);
  },
);

action(
  'set_member',
  {
    cert: certificates,
    encryption_pub_key: optional(publicKey),
    member_data: optional(object),
    recovery_role: optional(oneOf(...ROLES)),
  },
  ({ cert, encryption_pub_key, member_data, recovery_role }) => {
    const id = ccf.pemToId(cert);
    const before = read('members.info', id);
    const roleBefore = roleOf(id);
    gov('members.certs').set(bytes(id), bytes(cert));
    if (encryption_pub_key) {
      gov('members.encryption_public_keys').set(bytes(id), bytes(encryption_pub_key));
    } else {
      remove('members.encryption_public_keys', id);
    }
    write('members.info', id, {
      status: before?.status ?? 'Accepted',
      ...(member_data ? { member_data } : {}),
      ...(recovery_role ? { recovery_role } : {}),
    });
    if (before === undefined) {
      const signature = readAt(ccf.kv['public:ccf.internal.signatures'], SINGLETON);
      write('members.acks', id, { state_digest: signature?.root ?? '' });
    } else if (before.status === 'Active' && isOpen()) {
      if (roleBefore === 'Participant') keepThreshold(0);
      if (roleBefore !== 'NonParticipant' || roleOf(id) !== 'NonParticipant') {
        ccf.node.triggerRecoverySharesRefresh();
      }
    }
  },
  ({ encryption_pub_key, recovery_role }) => {
    const needsKey = recovery_role === 'Owner' || recovery_role === 'Participant';
    if (needsKey && !encryption_pub_key) {
      fail('a member of recovery_role ' + recovery_role + ' needs an encryption_pub_key');
    }
  },
);

const keepThreshold = (leaving) => {
  const left = participants() - leaving;
  if (left > 0 || threshold() > 1) {
    if (left < threshold()) {
      fail(
        'only ' +
          left +
          ' members would hold recovery shares, and the recovery threshold is ' +
          threshold() +
          ': lower it, or set another member first',
      );
    }
  }
};

action('remove_member', { member_id: entityId }, ({ member_id }) => {
  if (!has('members.info', member_id)) return;
  const role = roleOf(member_id);
  if (isActive(member_id) && activeMembers() === 1) {
    fail(member_id + ' is the last active member: nobody could decide anything without it');
  }
  if (role === 'Participant') keepThreshold(1);
  for (const name of ['certs', 'encryption_public_keys', 'info', 'acks']) {
    remove('members.' + name, member_id);
  }
  remove('history', member_id);
  remove('cose_history', member_id);
  if (role !== 'NonParticipant' && isOpen()) ccf.node.triggerLedgerRekey();
});

action(
  'set_member_data',
  { member_id: entityId, member_data: object },
  ({ member_id, member_data }) => {
    const info = read('members.info', member_id) ?? fail('there is no member ' + member_id);
    write('members.info', member_id, { ...info, member_data });
  },
);

action(
  'set_user',
  { cert: certificates, user_data: optional(object) },
  ({ cert, user_data }) => {
    const id = ccf.pemToId(cert);
    gov('users.certs').set(bytes(id), bytes(cert));
    if (user_data) write('users.info', id, { user_data });
    else remove('users.info', id);
  },
);

action('remove_user', { user_id: entityId }, ({ user_id }) => {
  remove('users.certs', user_id);
  remove('users.info', user_id);
});

action(
  'set_user_data',
  { user_id: entityId, user_data: optional(object) },
  ({ user_id, user_data }) => {
    if (user_data) write('users.info', user_id, { user_data });
    else remove('users.info', user_id);
  },
);

action(
  'set_recovery_threshold',
  { recovery_threshold: integer(1, 254) },
  ({ recovery_threshold }) => setThreshold(recovery_threshold),
);

const setThreshold = (recovery_threshold) => {
  if (serviceStatus() === 'WaitingForRecoveryShares') {
    fail('the recovery threshold cannot be changed while the service waits for shares');
  }
  const count = participants();
  if (isOpen() && recovery_threshold > Math.max(count, 1)) {
    fail(
      'recovery_threshold ' +
        recovery_threshold +
        ' is above the ' +
        count +
        ' members with shares',
    );
  }
  writeOne('service.config', { ...readOne('service.config'), recovery_threshold });
  if (isOpen()) ccf.node.triggerRecoverySharesRefresh();
};

// A key that a vault releases to attested code, by which a lost service can be recovered without
// shares. As with a member who leaves, what an old key could open is renewed.
const releaseKeys = 'concordat.recovery_release_keys';
const releaseKeyName = matches(
  /^[A-Za-z0-9._-]{1,64}$/,
  'of 1 to 64 letters, digits, dots, _ or -',
);
action(
  'set_recovery_release_key',
  {
    name: releaseKeyName,
    encryption_pub_key: publicKey,
    vault_url: matches(/^https:[/][/][^/?#@]+$/, 'https:// and a host'),
    key_name: matches(/^[0-9a-zA-Z-]{1,127}$/, '1 to 127 letters, digits and hyphens'),
    key_version: matches(/^[0-9a-zA-Z]{32}$/, '32 letters and digits'),
    release_policy: optional(string),
  },
  ({ name, release_policy, ...row }) => {
    const replaced = has(releaseKeys, name);
    write(releaseKeys, name, release_policy ? { ...row, release_policy } : row);
    if (!isOpen()) return;
    if (replaced) ccf.node.triggerLedgerRekey();
    else ccf.node.triggerRecoverySharesRefresh();
  },
  ({ release_policy }) => {
    if (release_policy) object(JSON.parse(release_policy), 'release_policy');
  },
);
action('remove_recovery_release_key', { name: releaseKeyName }, ({ name }) => {
  if (!has(releaseKeys, name)) return;
  remove(releaseKeys, name);
  if (isOpen()) ccf.node.triggerLedgerRekey();
});

action('trigger_recovery_shares_refresh', null, () => ccf.node.triggerRecoverySharesRefresh());
action('trigger_ledger_rekey', null, () => ccf.node.triggerLedgerRekey());
`;
