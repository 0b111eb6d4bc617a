package report

import (
	"math"
	"slices"

	"golang.org/x/perf/benchmath"

	"github.com/kassa-go/kassa/bench"
)

// confidence is that of all intervals, and 1 - confidence is how often two runs of the same are called different.
const confidence = 0.95

// Estimate is what some rounds say of the figure behind them. They are taken to be spread as by a normal distribution of
// their logarithms: times and rates vary by factors, and a rank test of three rounds can not tell anything.
type Estimate struct {
	Mean   float64 // geometric
	Rounds int

	// The interval that holds the figure with a probability of 95 %, by Student's t; 0 and +Inf of a single round.
	Lo, Hi float64
}

// NewEstimate estimates from the figures of rounds. Those that are not above 0 are no figures, and are left out.
func NewEstimate(values []float64) Estimate {
	logs := logarithms(values)
	e := Estimate{Rounds: len(logs), Hi: math.Inf(1)}
	switch len(logs) {
	case 0:
	case 1:
		e.Mean = math.Exp(logs[0])
	default:
		s := benchmath.AssumeNormal.Summary(benchmath.NewSample(logs, &benchmath.DefaultThresholds), confidence)
		e.Mean, e.Lo, e.Hi = math.Exp(s.Center), math.Exp(s.Lo), math.Exp(s.Hi)
	}
	return e
}

// ErrorPercent is by how much the mean may be wrong, at most, with a probability of 95 %; +Inf of fewer than two rounds.
func (e Estimate) ErrorPercent() float64 {
	if e.Rounds < 2 {
		return math.Inf(1)
	}
	return (e.Hi/e.Mean - 1) * 100
}

// errorText writes an error. Of one of a factor of 10 and more, the figure says nothing but that.
func errorText(percent float64) string {
	if percent > 900 {
		return "× 10 and more"
	}
	return "± " + number(percent) + " %"
}

// logarithms returns those of all values above 0.
func logarithms(values []float64) []float64 {
	var logs []float64
	for _, v := range values {
		if v > 0 && !math.IsInf(v, 1) {
			logs = append(logs, math.Log(v))
		}
	}
	return logs
}

// suiteError is how well the results know a metric: the error of the mean of a cell's rounds, of one server.
type suiteError struct {
	series             int // cells on servers that have two rounds or more
	middle, ninth      float64
	worst              float64 // all in percent
	worstOf            series
	roundsLo, roundsHi int
}

// series is a cell on a server.
type series struct{ cell, server string }

// errorOf states the suite's own error of a metric.
func errorOf(results []bench.Result, m Metric) suiteError {
	var e suiteError
	var all []float64
	for _, s := range allSeries(results) {
		if !m.tells(s.cell) {
			continue
		}
		of := NewEstimate(figures(runs(results, s.cell, s.server), metrics[m].of))
		if of.Rounds < 2 {
			continue
		}
		percent := of.ErrorPercent()
		if len(all) == 0 || percent > e.worst {
			e.worst, e.worstOf = percent, s
		}
		if len(all) == 0 || of.Rounds < e.roundsLo {
			e.roundsLo = of.Rounds
		}
		e.roundsHi = max(e.roundsHi, of.Rounds)
		all = append(all, percent)
	}
	if e.series = len(all); e.series > 0 {
		slices.Sort(all)
		e.middle, e.ninth = median(all), all[(len(all)*9-1)/10]
	}
	return e
}

// allSeries are the cells and servers of results, in the order in which they come first.
func allSeries(results []bench.Result) []series {
	var all []series
	seen := make(map[series]bool)
	for i := range results {
		if s := (series{results[i].Cell, results[i].Server}); !seen[s] {
			seen[s] = true
			all = append(all, s)
		}
	}
	return all
}
