package report_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/kassa-go/kassa/bench"
)

// Costs of servers, of which all but the order is invented: by what a request costs more than one of kassa's.
var (
	requestCosts = map[string]float64{"kassa": 1, "gnet-echo": 0.55, "gonet": 3.5, "gonet-workers": 8, "node": 8.5, "nethttp": 17,
		"fasthttp": 5.5,
		"grpc":     21, "nats": 9, "gearmand": 70, "redis-lists": 45}
	pairCosts = map[string]float64{"kassa": 1, "postgres": 4.5, "postgres-batch": 4.2, "redis": 1.2, "etcd": 5.4}

	requestServers = []string{"kassa", "gnet-echo", "gonet", "gonet-workers", "node", "nethttp", "fasthttp", "grpc", "nats",
		"gearmand", "redis-lists"}
	jobberServers = []string{"kassa", "gonet-workers", "node", "nats"}
	pairServers   = []string{"kassa", "postgres", "postgres-batch", "redis", "etcd"}
)

// invented are results as of all servers in all cells, three rounds each, that spread by a few percent.
func invented(seed uint64) []bench.Result {
	random := rand.New(rand.NewPCG(seed, 1))
	var all []bench.Result
	add := func(cell string, servers []string, costs map[string]float64) {
		c, err := bench.ParseCell(cell)
		if err != nil {
			panic(err)
		}
		for round := range 3 {
			for _, server := range servers {
				cost := costs[server] * math.Exp(random.NormFloat64()*0.03) * (1 + float64(c.PayloadBytes)/2000)
				perSecond := 1.2e6 / cost / (1 + 10/float64(max(c.InFlight, 1)))
				p50 := 20 * cost * (1 + float64(c.Conns)/3000)
				p99 := p50 * (2 + random.Float64())
				if c.Work == bench.WorkSleep {
					perSecond, cost = 3000/math.Sqrt(cost), 50*cost
				}
				all = append(all, bench.Result{
					Server: server, Version: "v1." + fmt.Sprint(len(server)), Cell: cell, Round: round + 1, Conns: c.Conns,
					Requests: int64(perSecond * 5), Seconds: 5, CPUSeconds: 5,
					CPUSecondsPerMillion: cost + 10/float64(max(c.InFlight, 1)),
					P50Us:                p50, P99Us: p99, P999Us: p99 * 3, MaxUs: p99 * 40,
					RSSStartBytes: 8e6, RSSBytes: int64(8e6 + 900*cost*float64(c.Conns)), RSSBytesPerConn: 900 * cost,
					WarmUpSeconds: 0.2, GeneratorThreads: min(c.Conns, 2), RepeatsMax: 3, Repeats: max(0, 1-len(all)),
					GeneratorCPUSeconds: 2, OthersCores: 0.02, Disturbed: random.IntN(50) == 0,
					GeneratorBound: server == "gnet-echo" && c.InFlight == 16,
					Machine:        bench.Machine{CPU: "A processor", Cores: 2, MemoryBytes: 16e9, Kernel: "6.1"}, Go: "go1.26",
					GOMAXPROCS: 2, Commit: "0123456789ab",
					Date: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), File: "invented.jsonl", Line: len(all) + 1,
				})
			}
		}
	}
	for _, cell := range []string{"1x1", "64x1", "64x16", "1000x1", "10000x1", "open64", "open1000", "open10000", "open100@10000",
		"open18000@10000",
		"idle100", "idle1000", "idle10000", "idle"} {
		add(cell, requestServers, requestCosts)
	}
	for _, cell := range []string{"64x16/crab", "64x16/binary", "64x16/478", "64x16/crab/478", "64x16/binary/478", "64x16/16384",
		"64x16/binary/16384",
		"64x16/loops=1", "64x16/loops=2", "64x16/loops=4", "1000x1/loops=1", "1000x1/loops=2", "1000x1/loops=4"} {
		add(cell, requestServers[:2], requestCosts)
	}
	for _, cell := range []string{"64x1/work=sleep", "64x1/work=cpu"} {
		add(cell, jobberServers, requestCosts)
	}
	for _, cell := range []string{"pairs64x1", "pairs64x16", "pairs1000x64", "openpairs64"} {
		add(cell, pairServers, pairCosts)
	}
	return all
}
