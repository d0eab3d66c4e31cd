/** One process in a run directory, and stale locks recognised. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { LOCK_FILE, RunLock } from '../../src/run/lock.js'
import { until } from '../helpers/until.js'

t.test('a second taker is refused until the first has released', async t => {
  const dir = t.testdir({})
  const lock = await RunLock.take(dir)
  await t.rejects(RunLock.take(dir), {
    message: /run is in use by process \d+ on .*, expected no other process/,
    hint: /wait for it/,
  })
  await lock.release()
  t.strictSame(readdirSync(dir), [], 'nothing is left')
  await (await RunLock.take(dir)).release()
})

t.test('locks of dead processes, of other processes with their number, and torn ones are stale', async t => {
  const child = spawn(process.execPath, ['-e', ''])
  const dead = child.pid
  await new Promise(resolve => child.once('close', resolve))
  const host = hostname()
  for (const text of [
    JSON.stringify({ pid: dead, host, started: null }),
    JSON.stringify({ pid: process.pid, host, started: '1' }),
    '{"pid": 12',
    '',
    'null',
  ]) {
    const dir = t.testdir({ [LOCK_FILE]: text })
    const lock = await RunLock.take(dir)
    t.equal(JSON.parse(readFileSync(join(dir, LOCK_FILE), 'utf8')).pid, process.pid, text)
    await lock.release()
  }
})

t.test('a lock of a process that has ended is stale before its parent has asked for its exit code', async t => {
  if (process.platform !== 'linux') return t.pass('', { skip: 'needs /proc' })
  // The shell becomes a program that never asks for the exit code of its child.
  const parent = spawn('sh', ['-c', `${process.execPath} -e 0 & echo $!; exec sleep 1000`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => parent.kill())
  const pid = Number(String((await once(parent.stdout, 'data'))[0]))
  const stat = () => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
  await until('it is a zombie', () => stat()[0] === 'Z')
  const dir = t.testdir({ [LOCK_FILE]: JSON.stringify({ pid, host: hostname(), started: stat()[19] }) })
  await (await RunLock.take(dir)).release()
})

t.test('a lock of another host is respected, because its process cannot be checked', async t => {
  const dir = t.testdir({ [LOCK_FILE]: JSON.stringify({ pid: 1, host: 'elsewhere', started: null }) })
  await t.rejects(RunLock.take(dir), { message: /in use by process 1 on elsewhere/, hint: /remove / })
})

t.test('one of ten processes that try to take a stale lock gets it', async t => {
  const dir = t.testdir({ [LOCK_FILE]: '' })
  const results = await Promise.allSettled(Array.from({ length: 10 }, () => RunLock.take(dir)))
  t.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
})

t.test('a lock that another process has taken over is not released', async t => {
  const dir = t.testdir({})
  const lock = await RunLock.take(dir)
  writeFileSync(join(dir, LOCK_FILE), JSON.stringify({ pid: 1, host: 'elsewhere', started: null }))
  await lock.release()
  t.ok(existsSync(join(dir, LOCK_FILE)))
})

t.test('a directory that cannot be written, or is a file, is an error about the run, not a system error', async t => {
  const dir = t.testdir({ file: '' })
  for (const place of [join(dir, 'file'), join(dir, 'missing'), '/proc/self']) {
    if (place === '/proc/self' && process.platform !== 'linux') continue
    await t.rejects(RunLock.take(place), { name: 'RunError', message: /: the run cannot be locked: E[A-Z]+: / }, place)
  }
})
