/**
 * fast-check with a seed, so that a test passes or fails alike in every run; all tests of properties import it from here.
 * `GRADLOOM_TEST_SEED=random` searches elsewhere, a number repeats what a failure printed.
 */
import fc from 'fast-check'

const seed = process.env.GRADLOOM_TEST_SEED ?? '1'
if (seed !== 'random') fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(seed) })

export { default } from 'fast-check'
