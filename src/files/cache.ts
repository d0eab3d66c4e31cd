/** The folder for data that gradloom can make or fetch again: data sets, probe results. Any thread. */
import { join, resolve } from 'node:path'
import envPaths from 'env-paths'

/** `GRADLOOM_CACHE` stands in for the platform's cache folder. */
export function cacheFolder(name: string, env: NodeJS.ProcessEnv = process.env): string {
  return join(env.GRADLOOM_CACHE ? resolve(env.GRADLOOM_CACHE) : envPaths('gradloom', { suffix: '' }).cache, name)
}
