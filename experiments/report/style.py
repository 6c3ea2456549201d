"""Style sheet and script of the pages, kept apart from the HTML that they dress."""

STYLE = """
:root{color-scheme:light;--ink:#172033;--muted:#526077;--rule:#dfe5ee;--soft:#f5f7fb;
--accent:#1d5fa6;--warn:#9a3412}
*{box-sizing:border-box}
html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
body{margin:0;background:#fff;color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
header,main,nav{max-width:1160px;margin:0 auto;padding:0 28px}
header{padding-top:44px}
h1{font-size:30px;line-height:1.2;margin:0;letter-spacing:-.015em}
h2{font-size:22px;line-height:1.25;margin:0 0 6px;letter-spacing:-.01em}
h3{font-size:16px;line-height:1.35;margin:0 0 4px}
p{margin:0 0 12px;max-width:76ch}
.subtitle{color:var(--muted);margin:4px 0 18px}
.headline{font-size:21px;line-height:1.45;max-width:66ch;margin:0 0 20px;
border-left:4px solid var(--accent);padding-left:16px}
.lead{color:var(--muted)}
nav{display:flex;gap:0 20px;flex-wrap:wrap;padding-top:8px;padding-bottom:4px}
main{margin-top:8px}main>section:first-child{border-top:1px solid var(--rule)}
a{color:var(--accent);text-underline-offset:3px}
nav a{text-decoration:none;font-size:15px;padding:4px 0}
nav a:hover,nav a:focus{text-decoration:underline}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
section{padding:34px 0 12px;border-bottom:1px solid var(--rule);scroll-margin-top:8px}
section:last-child{border-bottom:0}
.cards{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:12px;
margin:6px 0 22px}
.card{background:var(--soft);border:1px solid var(--rule);border-radius:8px;padding:13px 15px}
.card dt{font-size:14px;color:var(--muted);line-height:1.35}
.card dd{margin:2px 0 0;font-size:25px;font-weight:600;line-height:1.25;
font-variant-numeric:tabular-nums;letter-spacing:-.01em}
.card small{display:block;font-size:13px;font-weight:400;color:var(--muted);line-height:1.4;
letter-spacing:0;margin-top:3px}
.grid{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:26px 32px;margin:14px 0 20px}
.chart{margin:0;min-width:0}
.chart.wide{grid-column:1/-1}
.plot{width:100%}
figcaption{font-size:14px;color:var(--muted);line-height:1.5;max-width:80ch;margin-top:4px}
.block{min-width:0;margin:14px 0 20px}.grid .block{margin:0}
.table{overflow-x:auto;
background:linear-gradient(90deg,#fff 30%,#fff0) 0 0/36px 100% no-repeat local,
linear-gradient(270deg,#fff 30%,#fff0) 100% 0/36px 100% no-repeat local,
linear-gradient(90deg,#1720332e,#17203300) 0 0/10px 100% no-repeat scroll,
linear-gradient(270deg,#1720332e,#17203300) 100% 0/10px 100% no-repeat scroll}
.grid table{width:100%}
table{border-collapse:collapse;font-size:14.5px;font-variant-numeric:tabular-nums;min-width:50%}
th,td{padding:7px 18px 7px 0;text-align:right;border-bottom:1px solid var(--rule);
white-space:nowrap;vertical-align:top}
th:first-child{text-align:left}
thead th{color:var(--muted);font-weight:600;border-bottom:2px solid var(--rule);
white-space:normal;vertical-align:bottom}
tbody th{font-weight:400}
td:last-child,th:last-child{padding-right:4px}
td.left,th.left{text-align:left}
.prose td,.prose th{text-align:left;white-space:normal;overflow-wrap:anywhere}
.prose thead th,.facts tbody th{overflow-wrap:normal}
details{border:1px solid var(--rule);border-radius:8px;margin:12px 0;padding:0 16px}
summary{cursor:pointer;padding:11px 0;font-weight:600}
details[open]{padding-bottom:10px}
pre{background:var(--soft);border:1px solid var(--rule);border-radius:8px;padding:12px 14px;
overflow-x:auto;font-size:14px;line-height:1.5;margin:8px 0 16px}
code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.note{background:#fff7ed;border-left:4px solid #c2410c;color:#5b2410;padding:10px 14px;
border-radius:0 6px 6px 0;font-size:15px}
@media (max-width:820px){.grid,.cards{grid-template-columns:minmax(0,1fr)}
.cards{grid-template-columns:repeat(2,minmax(0,1fr))}}
@media (max-width:560px){
header,main,nav{padding-left:16px;padding-right:16px}
header{padding-top:26px}h1{font-size:25px}.headline{font-size:18px;padding-left:12px}
nav{flex-wrap:nowrap;overflow-x:auto;white-space:nowrap}
nav a{padding:8px 0}
table{font-size:13.5px;min-width:100%}th,td{padding:7px 10px 7px 0}
th{white-space:normal;min-width:52px}thead th{vertical-align:bottom}
.cards{gap:8px}
.card{padding:10px 12px}.card dd{font-size:20px}section{padding-top:26px}}
.printing header,.printing main{width:700px;max-width:none;margin:0;padding:0}
.printing .grid{grid-template-columns:repeat(2,minmax(0,1fr));gap:16px 20px}
.printing .cards{grid-template-columns:repeat(4,minmax(0,1fr));gap:8px}
.printing .card{padding:9px 11px}.printing .card dd{font-size:19px}
.printing table{font-size:12px}.printing th,.printing td{padding:4px 10px 4px 0}
@media print{
nav{display:none}body{font-size:14px}figcaption{font-size:12px}
section{padding:16px 0 4px}
.chart,.card,tr,p{break-inside:avoid}h2,h3,.lead{break-after:avoid}
.table{overflow:visible}}
"""

SCRIPT = """
(function(){
var figures=JSON.parse(document.getElementById('figures').textContent);
var ids=Object.keys(figures);
function layout(id,width){
  var it=JSON.parse(JSON.stringify(figures[id].layout));
  if(width<520){
    it.dragmode=false;it.font.size=12;
    Object.keys(it).forEach(function(key){
      if(!/^xaxis/.test(key)){return;}
      var at=it[key].tickvals;
      if(!at){it[key].nticks=5;return;}
      if(at.length<6){return;}
      var odd=Math.max(at.indexOf(0),0)%2;
      var some=function(list){return list&&list.filter(function(_,i){return i%2===odd;});};
      it[key].tickvals=some(at);it[key].ticktext=some(it[key].ticktext);
    });
  }
  return it;
}
function draw(id){
  var place=document.getElementById(id);
  Plotly.newPlot(place,figures[id].data,layout(id,place.clientWidth),
    {responsive:true,displayModeBar:false});
}
var next=0;
function some(){
  var until=Date.now()+40;
  while(next<ids.length&&Date.now()<until){draw(ids[next]);next+=1;}
  if(next<ids.length){setTimeout(some,0);}else{document.body.dataset.drawn='yes';}
}
some();
// Plotly.Plots.resize waits, and a printer does not: set the size at once.
function fit(fixed){ids.forEach(function(id){
  var place=document.getElementById(id);
  Plotly.relayout(place,fixed?{width:place.clientWidth,height:place.clientHeight}
    :{width:null,height:null,autosize:true});});}
// Paper has no layout of its own before it is printed: take its width first, then fit figures.
window.addEventListener('beforeprint',function(){
  document.body.classList.add('printing');
  while(next<ids.length){draw(ids[next]);next+=1;}
  document.querySelectorAll('details').forEach(function(it){it.open=true;});fit(true);});
window.addEventListener('afterprint',function(){
  document.body.classList.remove('printing');fit(false);});
})();
"""
