/** Dates and times as features: positions in cycles, and text that writes a date. UTC throughout. Pure; any thread. */
import type { Cycle } from './encoding.js'

const DAY = 86_400
/** 1970-01-01 was a Thursday; weeks begin on Monday. */
const FIRST_WEEKDAY = 3

/** Position in a cycle, from 0 to below 1, of a time in seconds since 1970-01-01 UTC. */
export function phaseOf(cycle: Cycle, seconds: number): number {
  const day = Math.floor(seconds / DAY)
  const time = (seconds - day * DAY) / DAY
  switch (cycle) {
    case 'day':
      return time
    case 'hour':
      return (time * 24) % 1
    case 'week':
      return ((((day + FIRST_WEEKDAY) % 7) + 7) % 7) / 7 + time / 7
    default: {
      const date = new Date(seconds * 1000)
      const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()]
      const start = cycle === 'year' ? utc(year, 0) : utc(year, month)
      const end = cycle === 'year' ? utc(year + 1, 0) : utc(year, month + 1)
      return (seconds - start) / (end - start)
    }
  }
}

/** First second of a month; `Date.UTC` alone takes years below 100 for those of the 20th century. */
function utc(year: number, month: number): number {
  const date = new Date(0)
  date.setUTCFullYear(year, month, 1)
  return date.getTime() / 1000
}

const ISO = /^(-?\d{4,6})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d(?:\.\d+)?))?)?(Z|[+-]\d\d(?::?\d\d)?)?$/
const TIME = /^(\d\d):(\d\d)(?::(\d\d(?:\.\d+)?))?$/

/** Seconds since 1970-01-01 UTC of an ISO date, or of a time of day; NaN for any other text. Without a zone it is UTC. */
export function secondsOf(text: string): number {
  const trimmed = text.trim()
  const time = TIME.exec(trimmed)
  if (time) return clock(time[1], time[2], time[3])
  const found = ISO.exec(trimmed)
  if (!found) return Number.NaN
  const [, year, month, day, hour = '0', minute = '0', second = '0', zone = 'Z'] = found
  const date = new Date(0)
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day))
  // A day that the month does not have would become one of the next month.
  if (date.getUTCMonth() !== Number(month) - 1 || date.getUTCDate() !== Number(day)) return Number.NaN
  return date.getTime() / 1000 + clock(hour, minute, second) - zoneOf(zone)
}

function clock(hour: string, minute: string, second = '0'): number {
  const [h, m, s] = [hour, minute, second].map(Number)
  return h < 24 && m < 60 && s < 60 ? h * 3600 + m * 60 + s : Number.NaN
}

function zoneOf(zone: string): number {
  if (zone === 'Z') return 0
  const sign = zone[0] === '-' ? -1 : 1
  return sign * (Number(zone.slice(1, 3)) * 3600 + Number(zone.slice(3).replace(':', '') || 0) * 60)
}
