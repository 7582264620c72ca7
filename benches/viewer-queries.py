#!/usr/bin/env python3
"""Times the viewer's queries over 40,000 traces of ten spans with five attributes, on one connection.

    cargo build --release -p trace-viewer && benches/viewer-queries.py target/release/trace-viewer
"""
import json, random, re, socket, statistics, subprocess, sys, time, urllib.parse, urllib.request

p=subprocess.Popen([sys.argv[1],"--port=0","--otlp-port=0","--otlp-grpc-port=0","--max-spans=400000","--max-bytes=1073741824"],stdout=subprocess.PIPE,text=True)
line=json.loads(p.stdout.readline())
host=line["address"]; otlp=line["otlp_address"]
try:
    now=time.time_ns()
    n=0; ids=[]
    for req in range(400):
        groups={0:[],1:[],2:[]}
        for t in range(100):
            n+=1; tid="%032x"%(n*7919+(1<<120)); ids.append(tid)
            base=now-(40000-n)*1000000
            for k in range(10):
                groups[k%3].append({"traceId":tid,"spanId":"%016x"%(n*16+k+1),"parentSpanId":"" if k==0 else "%016x"%(n*16+1),"name":"GET /roll-async","kind":2,"startTimeUnixNano":str(base+k*1000),"endTimeUnixNano":str(base+500000),
                 "attributes":[{"key":"http.request.method","value":{"stringValue":"GET"}},{"key":"http.route","value":{"stringValue":"/roll-async"}},{"key":"http.response.status_code","value":{"intValue":"200"}},{"key":"url.path","value":{"stringValue":"/roll-async"}},{"key":"n","value":{"intValue":str(n)}}]})
        body={"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"svc%d"%g}}]},"scopeSpans":[{"scope":{},"spans":s}]} for g,s in groups.items()]}
        r=urllib.request.Request("http://%s/v1/traces"%otlp,json.dumps(body).encode(),{"content-type":"application/json"}); assert urllib.request.urlopen(r).status==200
    print("sent", n, urllib.request.urlopen("http://%s/metrics"%host).read().decode().split("trace_viewer_bytes")[-1].strip()[:40])
    h,po=host.split(":"); s=socket.create_connection((h,int(po))); s.setsockopt(socket.IPPROTO_TCP,socket.TCP_NODELAY,1)
    def get(path):
        s.sendall(("GET %s HTTP/1.1\r\nhost: localhost\r\n\r\n"%path).encode()); b=b""
        while b"\r\n\r\n" not in b: b+=s.recv(65536)
        head,rest=b.split(b"\r\n\r\n",1)
        m=re.search(rb"content-length: (\d+)",head,re.I)
        if m:
            L=int(m.group(1))
            while len(rest)<L: rest+=s.recv(65536)
        else:
            while not rest.endswith(b"0\r\n\r\n"): rest+=s.recv(65536)
        return head,rest
    def p50(paths,label):
        rounds=[]
        for r in range(5):
            ts=[]
            for path in paths:
                a=time.perf_counter(); h,b=get(path); ts.append(time.perf_counter()-a); assert b" 200 " in h[:20],h
            rounds.append(statistics.median(ts)*1000)
        print(label,"p50 ms, five rounds:",["%.3f"%x for x in sorted(rounds)],"median %.3f"%statistics.median(rounds),len(b))
    random.seed(1)
    p50(["/api/echo"]*500,"echo")
    p50(["/api/traces/"+random.choice(ids) for _ in range(500)],"trace by id")
    q=urllib.parse.quote
    p50(["/api/search?q="+q('{ resource.service.name = "svc1" }')+"&limit=20"]*200,"search service")
    p50(["/api/search?tags="+q('service.name=svc1')+"&limit=20"]*200,"search tags")
    p50(["/api/search?q="+q('{ resource.service.name = "nobody" }')+"&limit=20"]*50,"search unknown service")
finally:
    p.terminate(); p.wait()
