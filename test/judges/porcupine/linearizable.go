// The promise of linearizability, judged by Porcupine: one register, or one payload, at a time.

package main

import (
	"fmt"
	"math"
	"os"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// state is what a register holds: "" for nothing, else a mark and the value.
type state = string

func stateOf(value *string) state {
	if value == nil {
		return ""
	}
	return "=" + *value
}

type input struct {
	writes bool
	value  state
	label  string
}

var model = porcupine.Model{
	Init: func() any { return state("") },
	Step: func(before, in, out any) (bool, any) {
		asked := in.(input)
		if asked.writes {
			return true, asked.value
		}
		return before.(state) == out.(state), before
	},
	DescribeOperation: func(in, out any) string { return in.(input).label },
	DescribeState: func(held any) string {
		if held.(state) == "" {
			return "nothing"
		}
		return held.(state)[1:]
	},
}

func (h *History) judgeLinearizable(verdict *Verdict, timeout time.Duration, picture string) error {
	groups := h.histories()
	keys := make([]string, 0, len(groups))
	for key := range groups {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		ops := groups[key]
		verdict.count("histories", 1)
		verdict.count("ordered", len(ops))
		switch result := inOrder(ops, timeout); result {
		case porcupine.Ok:
		case porcupine.Unknown:
			verdict.Undecided = append(verdict.Undecided,
				fmt.Sprintf("%s: no order of its %d calls within %v", key, len(ops), timeout))
		case porcupine.Illegal:
			part := smallest(ops, timeout)
			verdict.add("linearizable", lines(part...), "%s: these %d of %d calls have no order",
				key, len(part), len(ops))
			if picture != "" {
				if err := h.draw(part, picture); err != nil {
					return err
				}
				picture = ""
			}
		}
	}
	return nil
}

// histories groups the calls that are to have an order by what they are about. A write without an
// answer whose value nobody saw is left out: it may as well have come after everything.
func (h *History) histories() map[string][]*Op {
	keyOf := map[string]string{}
	for _, row := range h.Stored {
		keyOf[row.Value] = row.Key
	}
	seen := map[state]bool{}
	for _, op := range h.Ops {
		if !op.Changes() && op.Outcome == ok {
			seen[stateOf(op.Value)] = true
		}
	}
	groups := map[string][]*Op{}
	for _, op := range h.Ops {
		switch {
		case op.Outcome == fail, op.Kind == read && !op.Fresh, op.Stranger:
			continue
		case op.Outcome == unknown && !seen[stateOf(op.Value)]:
			continue
		}
		key := op.Key
		if op.Kind == send && key == "" {
			key = keyOf[*op.Value]
		}
		if op.Kind == send || op.Kind == receive {
			key = "payload " + key
		} else {
			key = "register " + key
		}
		groups[key] = append(groups[key], op)
	}
	return groups
}

func operations(ops []*Op) []porcupine.Operation {
	end := int64(math.MinInt64)
	for _, op := range ops {
		if op.Call > end {
			end = op.Call
		}
		if op.Outcome == ok && *op.Return > end {
			end = *op.Return
		}
	}
	found := make([]porcupine.Operation, 0, len(ops))
	for _, op := range ops {
		last := end + 1
		if op.Outcome == ok {
			last = *op.Return
		}
		found = append(found, porcupine.Operation{
			ClientId: op.Client,
			Input:    input{op.Changes(), stateOf(op.Value), op.label()},
			Call:     op.Call,
			Output:   stateOf(op.Value),
			Return:   last,
			Metadata: op.Line,
		})
	}
	return found
}

func (op *Op) label() string {
	label := fmt.Sprintf("%s %s", op.Kind, op.Saw())
	if op.Outcome == unknown {
		label += " (no answer)"
	}
	return label
}

func inOrder(ops []*Op, timeout time.Duration) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(model, operations(ops), timeout)
}

// smallest takes calls away as long as the others still have no order. A write goes only together
// with all the reads of its value: what remains of a history that has an order then still has one,
// so that what remains here is to blame by itself.
func smallest(ops []*Op, timeout time.Duration) []*Op {
	illegal := func(some []*Op) bool { return inOrder(some, timeout) == porcupine.Illegal }
	// Of all that had been called when some call returned, the earliest such moment will do.
	ends := []int64{}
	for _, op := range ops {
		if op.Outcome == ok {
			ends = append(ends, *op.Return)
		}
	}
	sort.Slice(ends, func(i, j int) bool { return ends[i] < ends[j] })
	upTo := func(end int64) []*Op {
		var some []*Op
		for _, op := range ops {
			switch {
			case op.Outcome == ok && *op.Return <= end:
				some = append(some, op)
			case op.Changes() && op.Call <= end:
				pending := *op
				pending.Outcome = unknown
				some = append(some, &pending)
			}
		}
		return some
	}
	first := sort.Search(len(ends), func(i int) bool { return illegal(upTo(ends[i])) })
	if first == len(ends) {
		return ops
	}
	left := upTo(ends[first])
	for again := true; again; {
		again = false
		for _, value := range valuesOf(left) {
			if some := without(left, func(op *Op) bool { return stateOf(op.Value) == value }); illegal(some) {
				left, again = some, true
			}
		}
		for _, gone := range left {
			if gone.Changes() {
				continue
			}
			if some := without(left, func(op *Op) bool { return op.ID == gone.ID }); illegal(some) {
				left, again = some, true
			}
		}
	}
	sort.Slice(left, func(i, j int) bool { return left[i].Call < left[j].Call })
	return left
}

func valuesOf(ops []*Op) []state {
	var values []state
	met := map[state]bool{}
	for _, op := range ops {
		if value := stateOf(op.Value); !met[value] {
			met[value] = true
			values = append(values, value)
		}
	}
	return values
}

func without(ops []*Op, gone func(*Op) bool) []*Op {
	var left []*Op
	for _, op := range ops {
		if !gone(op) {
			left = append(left, op)
		}
	}
	return left
}

// draw writes Porcupine's picture of these calls, with what was done to the service meanwhile.
func (h *History) draw(ops []*Op, path string) error {
	_, info := porcupine.CheckOperationsVerbose(model, operations(ops), 0)
	from, to := ops[0].Call, int64(0)
	for _, op := range ops {
		if op.Return != nil && *op.Return > to {
			to = *op.Return
		}
	}
	var notes []porcupine.Annotation
	for _, event := range h.Events {
		if event.At >= from && event.At <= to {
			notes = append(notes, porcupine.Annotation{Tag: "service", Start: event.At, Description: event.Text})
		}
	}
	info.AddAnnotations(notes)
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return porcupine.Visualize(model, info, file)
}
