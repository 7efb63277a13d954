import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { coordinatorSchema } from '../../src/coordinator/config.ts';
import { type RunningCoordinator, startCoordinator } from '../../src/coordinator/start.ts';
import { ConsiliumError } from '../../src/errors/problem.ts';
import { createFederationKeys, loadFederationKey } from '../../src/identity/federation-folder.ts';
import { writeIdentityFile } from '../../src/identity/identity-file.ts';
import { parseJoinToken } from '../../src/identity/join-token.ts';
import { createKeyFile } from '../../src/identity/key-file.ts';
import { VERIFIERS } from '../../src/identity/verifiers.ts';
import { participantSchema } from '../../src/participant/config.ts';
import { startParticipant } from '../../src/participant/node.ts';
import { siteFiles } from '../../src/participant/site-files.ts';
import type { InvitationView, JobView, SiteView } from '../../src/protocol/views.ts';
import { connectCoordinator } from '../../src/transport/client/coordinator-client.ts';
import { identityCredentials, tokenEnrolment } from '../../src/transport/client/identity-credentials.ts';
import type { OperatorRequest } from '../../src/transport/client/operate.ts';
import type { Digest } from '../../src/vocabulary/digest.ts';
import type { FederationId } from '../../src/vocabulary/ids.ts';
import { float32Of } from '../../src/weights/float32-bytes.ts';
import { freePort } from '../free-port.ts';
import { Ending, wallClock } from '../transport/parties.ts';
import { TEST_SM } from '../transport/sm.ts';
import { until } from '../until.ts';
import { clinicCsv, Lines, temporaryFolder } from './site-under-test.ts';

const FEDERATION = 'hearts' as FederationId;

/** A coordinator and its sites in one process, over real gRPC; all of it ends with the test. */
export class Consortium {
  folder!: string;
  coordinator!: RunningCoordinator;
  address!: string;
  authorityFingerprint!: Digest;
  readonly #ending = new Ending();

  static async open(): Promise<Consortium> {
    const made = new Consortium();
    made.folder = await temporaryFolder();
    onTestFinished(() => made.#ending.close());
    const keys = await createFederationKeys(path.join(made.folder, 'keys'), {
      federation: FEDERATION,
      now: Date.now() - 1000,
    });
    made.authorityFingerprint = keys.authority.authorityFingerprint;
    made.address = `127.0.0.1:${await freePort()}`;
    await made.serve();
    return made;
  }

  async serve(): Promise<void> {
    const config = coordinatorSchema.parse({
      apiVersion: 'consilium/v1',
      federation: FEDERATION,
      listen: this.address,
      heartbeatMs: 2000,
      chunkBytes: 4096,
    });
    const options = { baseDirectory: this.folder, telemetry: new Lines() };
    this.coordinator = this.#ending.add(await startCoordinator(config, options), (own) => own.stop(0));
  }

  get anchor() {
    const { authorityFingerprint } = this;
    return { federation: FEDERATION, authorityFingerprint, verifiers: VERIFIERS, clock: wallClock };
  }

  #client() {
    return connectCoordinator({ address: this.address, sm: TEST_SM, software: 'test' });
  }

  /** The last view of an operator's command. */
  async ask<View>(request: OperatorRequest): Promise<View> {
    return (await this.askAll<View>(request)).at(-1) as View;
  }

  /** Every view of an operator's command. */
  async askAll<View>(request: OperatorRequest): Promise<View[]> {
    const client = this.#client();
    try {
      const operator = await loadFederationKey(path.join(this.folder, 'keys'), 'operator');
      const session = await client.open(identityCredentials(this.anchor, operator));
      const views: View[] = [];
      for await (const answer of session.operate(request)) {
        if (answer.kind === 'problem') throw new ConsiliumError(answer.problem);
        if (answer.kind === 'view') views.push(answer.view as View);
      }
      return views;
    } finally {
      client.close();
    }
  }

  /** Enrols a site as `consilium site enroll` does, and starts its participant. */
  async join(site: string, change: Record<string, unknown> = {}) {
    const { token } = await this.ask<InvitationView>({ kind: 'invite-site', site, ttlMs: undefined });
    const parsed = parseJoinToken(token, Date.now());
    if (!parsed.ok) throw new ConsiliumError(parsed.refusal);
    const home = path.join(this.folder, site);
    await mkdir(home);
    const files = siteFiles(home);
    const signer = await createKeyFile(files.key);
    const client = this.#client();
    const holder = { site, secret: parsed.value.secret, signer };
    const { identity } = await client.enroll(tokenEnrolment(this.anchor, holder));
    client.close();
    await writeIdentityFile(files.identity, identity);
    await writeFile(path.join(home, 'clinic.csv'), clinicCsv());
    return { home, ...(await this.start(site, change)) };
  }

  async start(site: string, change: Record<string, unknown> = {}) {
    const home = path.join(this.folder, site);
    const telemetry = new Lines();
    const config = participantSchema.parse({
      apiVersion: 'consilium/v1',
      site,
      federation: FEDERATION,
      coordinator: this.address,
      authorityFingerprint: this.authorityFingerprint,
      datasets: { clinic: { kind: 'tabular', path: 'clinic.csv', target: 'sick' } },
      trainers: { tfjs: { kind: 'tfjs', backend: 'cpu' } },
      ...change,
    });
    const participant = await startParticipant(config, { baseDirectory: home, telemetry });
    return { participant: this.#ending.add(participant, (own) => own.stop()), telemetry };
  }

  /** Resolves when so many sites are there. */
  async online(sites: number): Promise<void> {
    await until(async () => {
      const all = await this.askAll<SiteView>({ kind: 'list-sites' });
      return all.filter((site) => site.online && site.trainers.length > 0).length === sites;
    });
  }

  /** The weights of a version of a job. */
  async pull(job: string, version: number): Promise<Float32Array> {
    const client = this.#client();
    try {
      const operator = await loadFederationKey(path.join(this.folder, 'keys'), 'operator');
      const session = await client.open(identityCredentials(this.anchor, operator));
      const chunks: Uint8Array[] = [];
      for await (const answer of session.operate({ kind: 'pull-model', job, version })) {
        if (answer.kind === 'problem') throw new ConsiliumError(answer.problem);
        if (answer.kind !== 'payload') continue;
        for await (const chunk of answer.source.chunks(0)) chunks.push(chunk.slice());
      }
      return float32Of(new Uint8Array(Buffer.concat(chunks)));
    } finally {
      client.close();
    }
  }

  /** The job, as soon as `holds` of it. */
  async job(name: string, holds: (job: JobView) => boolean): Promise<JobView> {
    let view: JobView | undefined;
    await until(async () => {
      view = await this.ask<JobView>({ kind: 'get-job', job: name });
      return holds(view);
    });
    return view!;
  }
}
