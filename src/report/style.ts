/**
 * Style sheet of a report: light and dark, narrow and wide screens, print. Marks use the palette of Okabe and Ito, some lightened or
 * darkened for a contrast of 3:1 with the page; series also differ in their dashes. Data only; any thread.
 */
const LIGHT = {
  page: '#fff',
  panel: '#f6f8fa',
  ink: '#1f2328',
  dim: '#59636e',
  edge: '#d1d9e0',
  grid: '#e4e8ec',
  link: '#0a58ad',
  good: '#0a6b4c',
  bad: '#a33c00',
  s0: '#0072b2',
  s1: '#d55e00',
  s2: '#00855f',
  s3: '#b0588f',
  s4: '#9a6f00',
  s5: '#4b5560',
  right: '0 90 150',
  wrong: '200 80 0',
} as const
const DARK: Readonly<Record<keyof typeof LIGHT, string>> = {
  page: '#0f141a',
  panel: '#171d25',
  ink: '#e8edf2',
  dim: '#a3aeba',
  edge: '#333d48',
  grid: '#27303a',
  link: '#7cc0ff',
  good: '#4fd1a5',
  bad: '#ff9d5c',
  s0: '#56b4e9',
  s1: '#f0883e',
  s2: '#2fbf95',
  s3: '#dd8fbd',
  s4: '#e6b422',
  s5: '#b4bec9',
  right: '86 180 233',
  wrong: '240 136 62',
}
/** Opacity of a matrix cell's shades; from this index on, text on them uses the opposite brightness. */
const SHADES = [0, 0.1, 0.18, 0.27, 0.36, 0.46, 0.7, 0.8, 0.9, 1]
const STRONG = 6

const variables = (colours: object): string =>
  Object.entries(colours)
    .map(([name, value]) => `--${name}:${value}`)
    .join(';')

const shades = SHADES.flatMap((strength, i) =>
  (['right', 'wrong'] as const).map(kind => {
    const words = i >= STRONG ? ';color:var(--page)' : i === 0 ? ';color:var(--dim)' : ''
    return `.${kind}${i}{background:rgb(var(--${kind})/${strength})${words}}`
  }),
).join('\n')

const dashes = ['none', '7 4', '2 3', '9 3 2 3', '12 4', '4 2']
const series = dashes
  .map((dash, i) => `.line.s${i}{stroke:var(--s${i});stroke-dasharray:${dash}}.dot.s${i}{fill:var(--s${i})}`)
  .join('\n')

export const STYLE = `
:root{color-scheme:light dark;${variables(LIGHT)}}
@media(prefers-color-scheme:dark){:root{${variables(DARK)}}}
@media print{:root{color-scheme:light;${variables(LIGHT)}}nav,.skip{display:none}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);overflow-wrap:anywhere;font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
header,main{max-width:1160px;margin:0 auto;padding:0 20px}
header{padding-top:28px}
h1{margin:0;font-size:2rem;line-height:1.2;overflow-wrap:anywhere}
h2{margin:0 0 12px;font-size:1.35rem;line-height:1.3;overflow-wrap:anywhere}
h3{font-size:1.1rem;margin:18px 0 8px}
summary h3{display:inline}
h4{margin:18px 0 8px;font-size:1rem}
p{margin:0 0 12px;max-width:78ch}
a{color:var(--link)}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.skip{position:absolute;left:-999px}
.skip:focus{left:8px;top:8px;background:var(--page);padding:8px 12px;z-index:2}
.kind{margin:0 0 4px;color:var(--dim);font-size:.9rem}
.directory{margin:2px 0 0;color:var(--dim);font-family:ui-monospace,monospace;font-size:.9rem;overflow-wrap:anywhere}
nav{position:sticky;top:0;z-index:1;background:var(--page);border-bottom:1px solid var(--edge);margin-top:16px}
nav ul{max-width:1160px;margin:0 auto;padding:0 12px;display:flex;flex-wrap:wrap;list-style:none}
nav a{display:block;padding:9px 8px;font-size:.9rem;text-decoration:none}
nav a:hover{text-decoration:underline}
main{padding-top:20px;padding-bottom:48px}
section{margin-top:32px;padding-top:24px;border-top:1px solid var(--edge)}
section.run{margin-top:40px}
h2,h3{scroll-margin-top:60px}
.facts{color:var(--dim);overflow-wrap:anywhere}
.status{display:inline-block;margin-right:8px;padding:1px 10px;border:1px solid currentColor;border-radius:99px;font-size:.9rem;font-weight:600}
.status.good{color:var(--good)}.status.bad{color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:12px;margin:16px 0}
.tiles div{background:var(--panel);border:1px solid var(--edge);border-radius:8px;padding:12px 14px}
.tiles dt{color:var(--dim);font-size:.85rem}
.tiles dd{margin:0;font-size:1.5rem;font-weight:650;font-variant-numeric:tabular-nums}
.tiles small{display:block;font-size:.85rem;font-weight:400;color:var(--dim)}
.trouble{border-left:4px solid var(--bad);padding:6px 12px;background:var(--panel);overflow-wrap:anywhere}
.note{color:var(--dim);overflow-wrap:anywhere}
.none{color:var(--dim)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));gap:16px}
figure{margin:0}
.chart{background:var(--panel);border:1px solid var(--edge);border-radius:8px;padding:12px 14px 8px}
.chart.wide{margin-bottom:16px}
.chart svg{display:block;width:100%;height:auto;overflow:visible}
figcaption{font-weight:600;margin-bottom:6px}
.legend{display:inline-flex;flex-wrap:wrap;gap:2px 14px;margin-left:14px;font-size:.85rem;font-weight:400;color:var(--dim)}
.legend>span{display:inline-flex;align-items:center;gap:6px}
.chart .legend svg{width:26px;height:10px;flex:none}
svg text{font-size:12px;fill:var(--dim)}
.middle{text-anchor:middle}.end{text-anchor:end}
.grid path{stroke:var(--grid);fill:none}
.axis{stroke:var(--dim);fill:none}
.mark{stroke:var(--bad);stroke-dasharray:3 3;fill:none}
.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.line.faint{stroke-width:1.2;opacity:.45}
.lost{stroke:var(--bad);stroke-width:2;fill:none}
${series}
.bar{fill:var(--s0)}.track{fill:var(--grid)}
.gap{fill:rgb(var(--wrong)/.28);stroke:var(--s1);stroke-width:1.5;stroke-dasharray:4 2}
.name{text-anchor:end}.chart .legend .symbol{width:14px;height:14px}
svg .name{fill:var(--ink)}
.spread{stroke:var(--s1);stroke-width:2;fill:none}
.square{max-width:34rem}
.points{stroke:var(--s0);stroke-width:4;stroke-linecap:round;stroke-opacity:.45;fill:none}
.ideal{stroke:var(--ink);stroke-dasharray:2 4;fill:none}
.p0{fill:var(--s0)}.p1{fill:var(--s4)}.p2{fill:var(--edge)}
.strip>rect:last-of-type,.strip>rect:only-of-type{fill:transparent}
.strip>.bar:only-of-type{fill:var(--s0)}
.strip>path,.strip>text{visibility:hidden;pointer-events:none}
.strip>path{stroke:var(--dim)}
.strip>text{text-anchor:end;fill:var(--ink);font-weight:600;paint-order:stroke;stroke:var(--panel);stroke-width:4px}
.strip:hover>path,.strip:hover>text{visibility:visible}
.scroll{overflow-x:auto;margin-bottom:16px}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
data{white-space:nowrap}
caption>span{position:sticky;left:0;display:inline-block;max-width:min(72ch,calc(100vw - 48px))}
caption{text-align:left;color:var(--dim);padding:4px 0 8px;font-size:.9rem}
th,td{padding:4px 12px 4px 0;text-align:right;border-bottom:1px solid var(--grid);white-space:nowrap}
thead th{color:var(--dim);font-weight:600;border-bottom-color:var(--edge);vertical-align:bottom}
th:first-child,.text td,.text th,.words-2 th,.words-2 td:nth-child(2){text-align:left}
tbody th{font-weight:600}
.text td,.text tbody th{white-space:normal;overflow-wrap:anywhere;vertical-align:top}
.text tbody th{min-width:9em}
.bare thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
.matrix{border-spacing:2px;border-collapse:separate}
.matrix th,.matrix td{border:0;padding:5px 8px;min-width:40px;text-align:center}
.matrix td{border-radius:4px}
.matrix tbody th{text-align:right}
.matrix .corner{display:inline-block;max-width:7em;font-weight:400;font-size:.8rem;white-space:normal}
.charts+.note{margin-top:10px}
.sides{display:flex;flex-wrap:wrap;gap:8px 40px;align-items:flex-start}
.sides>*{max-width:100%}
.classes td:last-child .meter{width:60px;margin-right:8px}
.meter{width:60px;height:8px;vertical-align:middle}
.pixels{image-rendering:pixelated;display:block;height:auto}
.large{width:480px;max-width:100%;border:1px solid var(--edge)}
.picture figcaption{font-weight:400;color:var(--dim);font-size:.9rem;max-width:480px;margin-top:6px}
.gallery,.layers{list-style:none;margin:0;padding:0;display:grid;gap:14px}
.gallery{grid-template-columns:repeat(auto-fill,minmax(124px,1fr))}
.gallery li,.layers li{background:var(--panel);border:1px solid var(--edge);border-radius:8px;padding:10px;min-width:0}
.thumb{width:100%;max-width:160px;border-radius:4px;margin-bottom:6px}
.gallery p,.layers p{margin:0;overflow-wrap:anywhere}
.said{font-weight:600}
.truth{color:var(--good);font-weight:600}
.then{color:var(--dim);font-size:.82rem}
.layers{grid-template-columns:repeat(auto-fill,minmax(155px,1fr));margin-bottom:16px}
.gallery .said,.gallery .truth{line-height:1.3}
.layers .layer-name{font-weight:600;margin-bottom:4px}
.key{display:block;width:100%;height:8px;margin-bottom:4px}
.layer{width:100%;border-radius:4px;margin-bottom:6px}
.output{width:100%;font-size:.82rem}
.output caption{padding-top:0}
.output th,.output td{padding:1px 0;border:0}.output th{white-space:normal}
.output td{text-align:right}
.output .meter{margin-right:4px;width:44px}.output data{display:inline-block;min-width:4.4em}
.output .is th{color:var(--good);text-decoration:underline}
details{margin:12px 0}
details.part{border-bottom:1px solid var(--grid);padding-bottom:10px}
summary{cursor:pointer;padding:4px 0}
details[open]>summary{margin-bottom:8px}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,monospace;font-size:.85rem}
pre{background:var(--panel);border:1px solid var(--edge);border-radius:8px;padding:14px;overflow:auto;max-height:480px}
@media(max-width:520px){h1{font-size:1.6rem}header,main{padding-left:14px;padding-right:14px}nav{position:static}.legend{margin-left:0;display:flex}.tiles{grid-template-columns:1fr 1fr}.chart{padding:10px 8px 6px}.matrix th,.matrix td{padding:4px 2px;min-width:26px;font-size:.8rem}th,td{padding-right:8px}}
${shades}
`
