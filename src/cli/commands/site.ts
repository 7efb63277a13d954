import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import { ConsiliumError, fail } from '../../errors/problem.ts';
import { type LedgerEntry, ledgerFile, readLedger } from '../../participant/ledger.ts';
import { siteFiles } from '../../participant/site-files.ts';
import type { InvitationView, SiteHistoryView, SiteView } from '../../protocol/views.ts';
import type { UpdateDeclaration } from '../../rounds/update.ts';
import type { OperateRequest } from '../../transport/desk.ts';
import { channelOption } from '../channel-option.ts';
import { act, type CommandContext } from '../context.ts';
import { parseDurationUpTo } from '../duration.ts';
import { passphraseForNew } from '../key-passphrase.ts';
import { withOperator } from '../operator.ts';
import { readableBytes, readableTime } from '../output.ts';
import { renderProbes } from '../probe-table.ts';
import { type Column, renderFields, renderTable } from '../table.ts';
import type { Terminal } from '../terminal.ts';
import { earlierText } from '../update-text.ts';

const SITES: readonly Column<SiteView>[] = [
  { title: 'SITE', cell: (site) => site.site },
  { title: 'STATE', cell: (site) => site.state },
  { title: 'ONLINE', cell: (site) => (site.online ? 'yes' : 'no') },
  { title: 'LAST SEEN', cell: (site) => readableTime(site.lastSeenAt) },
  { title: 'DATASETS', cell: (site) => site.datasets.join(', ') },
  {
    title: 'TRAINERS',
    cell: (site) => site.trainers.map(({ name, backend }) => `${name} (${backend})`).join(', '),
  },
  {
    title: 'CERTIFICATE',
    cell: ({ certificate }) =>
      certificate?.state === 'revoked' ? `${certificate.serial} (revoked)` : certificate?.serial,
  },
  { title: 'IDENTITY UNTIL', cell: (site) => readableTime(site.identityExpiresAt) },
  { title: 'SOFTWARE', cell: (site) => site.software },
];

/** In the view of one site alone: the list grows with the years. */
const REVOKED: Column<SiteView> = {
  title: 'REVOKED CERTIFICATES',
  cell: ({ revokedCertificates }) => revokedCertificates.join(', '),
};

/** In the view of one site alone, too. */
const VIEWS: readonly Column<SiteView>[] = [
  {
    title: 'FEATURE VIEWS',
    cell: ({ views }) =>
      views
        .map(({ dataset, view, schemaHash, columns }) => {
          const spelt = columns.map(({ name, type, unit }) => `${name} ${type}${unit ? ` [${unit}]` : ''}`);
          return `${dataset}: ${view} ${schemaHash.slice(0, 16)} (${spelt.join(', ')})`;
        })
        .join('; '),
  },
  {
    title: 'WEIGHT SCHEMAS',
    cell: ({ trainers }) =>
      trainers
        .filter(({ schemas }) => schemas)
        .map(
          ({ name, framework, schemas = [] }) =>
            `${name}${framework ? ` (${framework})` : ''}: ${schemas.map(({ id, version }) => `${id} ${version}`).join(', ')}`,
        )
        .join('; '),
  },
  {
    title: 'LEFT OUT OF',
    cell: ({ exclusions }) => exclusions.map(({ job, reason }) => `${job}: ${reason}`).join(' '),
  },
];

/** Updates of a site that a person is shown; data has all of them. */
const UPDATES_SHOWN = 20;

const UPDATES: readonly Column<SiteHistoryView['updates'][number]>[] = [
  { title: 'JOB', cell: (update) => update.job },
  { title: 'ROUND', cell: (update) => update.round, align: 'right' },
  { title: 'COMMITTED', cell: (update) => readableTime(update.committedAt) },
  { title: 'SAMPLES', cell: (update) => update.sampleCount, align: 'right' },
  { title: 'NORM', cell: (update) => update.norm.toPrecision(4), align: 'right' },
  { title: 'LARGEST', cell: (update) => update.maxAbs.toPrecision(3), align: 'right' },
  { title: 'ZEROS', cell: (update) => `${(100 * update.zeroFraction).toFixed(1)} %`, align: 'right' },
  { title: 'COSINE', cell: (update) => update.cosine?.toFixed(3), align: 'right' },
  { title: 'SCHEMA', cell: ({ earlier }) => earlier && earlierText(earlier) },
  { title: 'STANDS OUT', cell: (update) => update.standsOut },
];

/** A token that lies about for longer is likelier to be stolen than used. */
const TTL_MAX = '30d';

/** `consilium site invite|enroll|list|get|approve|revoke|ledger`. */
export function registerSite(program: Command, terminal: Terminal): void {
  const site = program.command('site').description('hospitals of the federation');
  site
    .command('invite')
    .description('mint a join token for one site; it is shown once')
    .argument('<site>', 'the id that the federation will know the hospital by')
    .option('--ttl <duration>', `life of the token, such as 15m or 24h; at most ${TTL_MAX}`)
    .action(
      act<{ ttl?: string }>(terminal, (context, [name], { ttl }) => {
        const ttlMs = ttl === undefined ? undefined : parseDurationUpTo(TTL_MAX, '--ttl', ttl);
        return withOperator(context, async (client) => {
          const site = name as string;
          const invitation = await client.ask<InvitationView>({ kind: 'invite-site', site, ttlMs });
          context.print(invitation, () => `${invitation.token}\n`);
          context.say(
            `The token enrols ${site} once, until ${readableTime(invitation.expiresAt)}. At the hospital: consilium site enroll TOKEN --home DIR`,
          );
        });
      }),
    );
  site
    .command('enroll')
    .description('at the hospital: make its key, and get its identity for a join token')
    .argument(
      '<token>',
      'the join token; - reads it from stdin and @FILE from a file, where no other user of the machine sees it',
    )
    .requiredOption('--home <dir>', 'folder for the key, the identity and participant.yaml')
    .option('--tls-ca <file>', 'PEM of the authority that signed the coordinator certificate')
    .option('--tls-server-name <name>', 'name in the certificate, where it is not the host that is dialled')
    .addOption(channelOption())
    .option('--proxy <url>', 'http://[user:password@]host:port of an HTTP CONNECT proxy')
    .option(
      '--key-passphrase-env <name>',
      'environment variable whose value encrypts the key file, where it is not CONSILIUM_KEY_PASSPHRASE',
    )
    .option('--plain-keys', 'leave the key file unencrypted')
    .option('--new-key', 'a new key in the place of that in the folder; start join again after it')
    .action(
      act<EnrollOptions>(terminal, async (context, [token], options) => {
        const text = await tokenText(token as string, terminal);
        const { enrollSite } = await import('../enroll-site.ts');
        const known = existsSync(resolve(options.home, 'participant.yaml'));
        const enrolled = await enrollSite({
          token: text,
          home: resolve(options.home),
          tlsCaFile: options.tlsCa === undefined ? undefined : resolve(options.tlsCa),
          tlsServerName: options.tlsServerName,
          channel: options.channel,
          proxy: options.proxy,
          passphrase: passphraseForNew(terminal, {
            name: options.keyPassphraseEnv,
            plain: options.plainKeys,
          }),
          newKey: options.newKey === true,
        });
        context.print(enrolled, () =>
          renderFields([
            ['site', enrolled.site],
            ['federation', enrolled.federation],
            ['key', enrolled.keyId],
            ['approved', enrolled.approved ? 'yes' : 'not yet; the operator runs consilium site approve'],
            ['configuration', enrolled.configFile],
          ]),
        );
        const join = `consilium join --config ${enrolled.configFile}`;
        if (!known) context.say(`Name your datasets in ${enrolled.configFile}, then: ${join}`);
        else if (options.newKey) context.say(`Start it again, for its new key: ${join}`);
        else context.say(`A join that runs goes on with the new certificate; else: ${join}`);
      }),
    );
  site
    .command('list')
    .description('every site, and whether it is there')
    .action(
      act(terminal, (context) =>
        withOperator(context, async (client) => {
          context.printRows(await client.list<SiteView>({ kind: 'list-sites' }), SITES);
        }),
      ),
    );
  site
    .command('get')
    .description('one site, with what is known of its updates')
    .argument('<site>')
    .action(
      act(terminal, (context, [name]) =>
        withOperator(context, async (client) => {
          const site = name as string;
          const told = client.ask<SiteHistoryView>({ kind: 'get-site', site });
          const view = await told.catch((error) => throwNaming(site, error));
          context.print(view, () => drawHistory(view));
        }),
      ),
    );
  site
    .command('approve')
    .description('let an enrolled site take part')
    .argument('<site>')
    .action(
      act(terminal, (context, [name]) => changeSite(context, { kind: 'approve-site', site: name as string })),
    );
  site
    .command('revoke')
    .description('cut a site off for good, or only one of its certificates')
    .argument('<site>')
    .option(
      '--certificate <serial>',
      'serial of the certificate, or "current": the site may come back with a new one (site invite, site enroll)',
    )
    .action(
      act<{ certificate?: string }>(terminal, (context, [name], { certificate }) =>
        changeSite(context, { kind: 'revoke-site', site: name as string, certificate }),
      ),
    );
  site
    .command('ledger')
    .description('at the hospital: everything that ever left it')
    .requiredOption('--home <dir>', 'the folder that site enroll made, or its state directory')
    .action(
      act<{ home: string }>(terminal, async (context, _, { home }) => {
        if (![siteFiles(home).identity, ledgerFile(home)].some(existsSync)) {
          fail('USAGE', {
            reason: `no site lives in ${home}; --home names the folder that site enroll made`,
          });
        }
        context.printRows(await readLedger(resolve(home)), [
          { title: 'WHEN', cell: (line) => readableTime(line.at) },
          { title: 'TO', cell: (line) => line.to },
          { title: 'WHAT', cell: whatLeft },
          { title: 'JOB', cell: (line) => line.job },
          { title: 'ROUND', cell: (line) => line.round, align: 'right' },
          { title: 'SIZE', cell: (line) => readableBytes(line.bytes), align: 'right' },
          { title: 'DIGEST', cell: (line) => line.digest },
        ]);
      }),
    );
}

/** What left: `2 heartbeats`, `update`, or `declaration (int8, schema 1.0.0)` where its update is not float32, or lacks tensors. */
function whatLeft({ count, kind, content }: LedgerEntry): string {
  if (kind === 'declaration') {
    const { encoding, schemaVersion } = (content ?? {}) as Partial<UpdateDeclaration>;
    const unusual = [
      ...(encoding ? [encoding.name] : []),
      ...(schemaVersion ? [`schema ${schemaVersion}`] : []),
    ];
    return unusual.length === 0 ? kind : `${kind} (${unusual.join(', ')})`;
  }
  return count === undefined ? kind : count === 1 ? '1 heartbeat' : `${count} ${kind}`;
}

interface EnrollOptions {
  readonly home: string;
  readonly tlsCa?: string;
  readonly tlsServerName?: string;
  readonly channel: 'sm4' | 'off';
  readonly proxy?: string;
  readonly keyPassphraseEnv?: string;
  readonly newKey?: boolean;
  readonly plainKeys?: boolean;
}

/** Another site than the one that asks: the operator has mistyped it. */
function unknownSite(site: string): never {
  return fail('USAGE', { reason: `there is no site ${site}; consilium site list shows those there are` });
}

function changeSite(
  context: CommandContext,
  request: Extract<OperateRequest, { kind: 'approve-site' | 'revoke-site' }>,
): Promise<void> {
  return withOperator(context, async (client) => {
    const told = client.ask<SiteView>(request);
    printSite(context, await told.catch((error) => throwNaming(request.site, error)));
  });
}

function throwNaming(site: string, error: unknown): never {
  if (error instanceof ConsiliumError && error.problem.code === 'SITE_UNKNOWN') return unknownSite(site);
  throw error;
}

async function tokenText(given: string, terminal: Terminal): Promise<string> {
  if (given === '-') return readLine(terminal);
  if (!given.startsWith('@')) return given;
  const file = given.slice(1);
  return readFile(file, 'utf8').catch((cause) =>
    fail('USAGE', { reason: `${file} could not be read` }, cause),
  );
}

async function readLine(terminal: Terminal): Promise<string> {
  for await (const line of createInterface({ input: terminal.stdin })) if (line.trim()) return line.trim();
  return fail('USAGE', { reason: 'no token came on stdin' });
}

function printSite(context: CommandContext, site: SiteView): void {
  context.print(site, () => drawSite(site));
}

function drawSite(site: SiteView): string {
  return renderFields(
    [...SITES, REVOKED, ...VIEWS].map(
      ({ title, cell }) => [title.toLowerCase(), cell(site) || null] as const,
    ),
  );
}

function drawHistory(site: SiteHistoryView): string {
  const shown = site.updates.slice(-UPDATES_SHOWN);
  return [
    drawSite(site),
    ...(site.probes.length > 0 ? [renderProbes(site.probes)] : []),
    ...(shown.length > 0 ? [renderTable(UPDATES, shown, false)] : []),
  ].join('\n');
}
