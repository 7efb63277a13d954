import { type Problem, problem } from '../errors/problem.ts';
import { canonicalJson } from '../vocabulary/canonical-json.ts';
import { changesSince, type SchemaHistory } from '../weights/schema/history.ts';
import { parseVersion } from '../weights/schema/version.ts';
import type { Presence, TrainerOffer } from './assignment.ts';
import { earlierVersion, earlierVersionFault } from './earlier-version.ts';
import type { Job } from './job.ts';

/** What a job says of its weights and its trainer, as far as schemas are compared. */
export interface SchemaNeed extends Pick<Job, 'weightSchema' | 'model' | 'strategy'> {
  readonly trainer: Pick<Job['trainer'], 'name'>;
}

/**
 * What stands between a job's weight schema and the trainer that a site offers under its name: WEIGHT_SCHEMA_MISMATCH with
 * both versions and what differs, tensor by tensor where the `history` of the job's weights manifest knows. Undefined where
 * nothing does, for a job that names no schema, and where there is no such trainer.
 *
 * The versions need the same MAJOR. A site that is ahead by a MINOR fills in the declared defaults of the tensors that the
 * job's version does not have; that it does so is what the probe shows, so without one it is refused. A site that is
 * behind fits where it is known what it lacks, and no update says anything of that (`earlierVersionFault`).
 */
export function schemaObjection(
  need: SchemaNeed,
  offers: readonly TrainerOffer[],
  history: SchemaHistory = [],
): Problem | undefined {
  const { weightSchema, trainer } = need;
  const offer = offers.find(({ name }) => name === trainer.name);
  if (!weightSchema || !offer) return undefined;
  const { id, version, probe } = weightSchema;
  const stated = offer.schemas?.find((one) => one.id === id);
  const others = offer.schemas?.map((one) => `${one.id} ${one.version}`).join(', ');
  const mismatch = (difference: string) =>
    problem('WEIGHT_SCHEMA_MISMATCH', {
      trainer: trainer.name,
      expected: `${id} ${version}`,
      found: stated ? `${id} ${stated.version}` : others || 'none',
      difference,
    });
  if (!stated) return mismatch('it is not written for this schema');
  const [job, site] = [parseVersion(version), parseVersion(stated.version)];
  if (!job || !site) return mismatch('a version is none');
  const changed = (needs: 'minor' | 'major') => {
    const changes = changesSince(history, site, needs);
    return changes === undefined ? '' : `: ${changes}`;
  };
  if (job.major !== site.major) {
    return mismatch(
      `MAJOR ${site.major} is not ${job.major}, so tensors have another shape, order or meaning${changed('major')}`,
    );
  }
  const lacks = earlierVersion(need, offers) !== undefined;
  if (site.minor < job.minor || lacks) {
    const fault = earlierVersionFault(need, stated.version);
    if (fault === undefined) return undefined;
    // What it lacks is named already, where the job says it.
    return mismatch(lacks ? fault : `${fault}${changed('minor')}`);
  }
  if (site.minor > job.minor && probe === 'off') {
    return mismatch(
      'the trainer has tensors more, and only a probe shows that their defaults leave the model as it was',
    );
  }
  return undefined;
}

/** Whether a job lets only sites train whose trainer passed its probe. */
export function needsProbe({ weightSchema }: Pick<Job, 'weightSchema'>): boolean {
  return weightSchema?.probe === 'required';
}

/**
 * What a passed probe holds for: the trainer, what it says of its framework and schema, and the software around it.
 * A site of which any of this changed is probed again.
 */
export function probeStamp({ trainer, weightSchema }: SchemaNeed, presence: Presence): string {
  const offer = presence.trainers.find(({ name }) => name === trainer.name);
  const stated = offer?.schemas?.find(({ id }) => id === weightSchema?.id);
  const { kind, backend, framework } = offer ?? {};
  return canonicalJson({
    trainer: trainer.name,
    kind: kind ?? null,
    backend: backend ?? null,
    framework: framework ?? null,
    schema: stated ? `${stated.id} ${stated.version}` : null,
    software: presence.software,
  });
}
