/** A version of a weight schema: MAJOR.MINOR.PATCH of Semantic Versioning 2.0.0, without pre-releases. */
export interface SchemaVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
}

/** How a text of a version looks. */
export const VERSION_PATTERN = /^(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})$/;

/** Steps from one version to the next, the smallest first; `none` leaves it as it is. */
export const VERSION_STEPS = ['none', 'patch', 'minor', 'major'] as const;
/** One of those. */
export type VersionStep = (typeof VERSION_STEPS)[number];

/** The version in `text`, or undefined when it is none. */
export function parseVersion(text: string): SchemaVersion | undefined {
  const [, major, minor, patch] = VERSION_PATTERN.exec(text) ?? [];
  if (major === undefined) return undefined;
  return { major: Number(major), minor: Number(minor), patch: Number(patch) };
}

/** The step from one version to another; undefined where it goes down. */
export function stepBetween(before: SchemaVersion, after: SchemaVersion): VersionStep | undefined {
  if (after.major !== before.major) return after.major > before.major ? 'major' : undefined;
  if (after.minor !== before.minor) return after.minor > before.minor ? 'minor' : undefined;
  if (after.patch !== before.patch) return after.patch > before.patch ? 'patch' : undefined;
  return 'none';
}

/** Whether a step says at least what a change needs. */
export function covers(taken: VersionStep, needed: VersionStep): boolean {
  return VERSION_STEPS.indexOf(taken) >= VERSION_STEPS.indexOf(needed);
}

/** Below 0 where `left` is of before `right`, 0 where they are one version, above 0 where it is later. */
export function compareVersions(left: SchemaVersion, right: SchemaVersion): number {
  return left.major - right.major || left.minor - right.minor || left.patch - right.patch;
}
