// Real time and the ledger's order agree, across all registers.

package main

import "sort"

// judgeOrder goes through time, and remembers the latest TxIDs that had been shown by then.
func (h *History) judgeOrder(verdict *Verdict) {
	calls := make([]*Op, 0, len(h.Ops))
	for _, op := range h.Ops {
		if op.Outcome == ok && op.Tx != nil {
			calls = append(calls, op)
		}
	}
	returns := append([]*Op{}, calls...)
	sort.Slice(calls, func(i, j int) bool { return calls[i].Call < calls[j].Call })
	sort.Slice(returns, func(i, j int) bool { return *returns[i].Return < *returns[j].Return })
	var newest, newestWrite *Op
	next := 0
	for _, op := range calls {
		for ; next < len(returns) && *returns[next].Return < op.Call; next++ {
			before := returns[next]
			if !h.Ledger.Holds(*before.Tx) {
				continue
			}
			if newest == nil || newest.Tx.Seqno < before.Tx.Seqno {
				newest = before
			}
			if before.Changes() && (newestWrite == nil || newestWrite.Tx.Seqno < before.Tx.Seqno) {
				newestWrite = before
			}
		}
		switch {
		case op.Changes() && h.Ledger.Holds(*op.Tx):
			if newest != nil && op.Tx.Seqno <= newest.Tx.Seqno {
				verdict.add("order", lines(newest, op), "a later write has an earlier TxID")
			}
		case op.Fresh:
			if newestWrite != nil && h.Ledger.Shared(*op.Tx) < newestWrite.Tx.Seqno {
				verdict.add("order", lines(newestWrite, op),
					"a fresh read was answered from before a write that had been acknowledged")
			}
		}
	}
}

// unseen names what nobody looked at after it was last acknowledged.
func (h *History) unseen() []string {
	written := map[string]int64{}
	looked := map[string]int64{}
	for _, op := range h.Ops {
		switch {
		case op.Outcome != ok:
		case op.Kind == write:
			written["register "+op.Key] = later(written["register "+op.Key], *op.Return)
		case op.Kind == send:
			written["payload "+op.Key] = later(written["payload "+op.Key], *op.Return)
		case op.Kind == read && op.Fresh:
			looked["register "+op.Key] = later(looked["register "+op.Key], op.Call)
		case op.Kind == receive && !op.Stranger:
			looked["payload "+op.Key] = later(looked["payload "+op.Key], op.Call)
		}
	}
	var found []string
	for key, at := range written {
		if last, present := looked[key]; !present || last <= at {
			found = append(found, key)
		}
	}
	sort.Strings(found)
	return found
}

func later(a, b int64) int64 {
	if a > b {
		return a
	}
	return b
}
