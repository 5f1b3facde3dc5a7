// The promises that the ledger itself can show kept or broken.

package main

import (
	"fmt"
	"sort"
)

// judgeLedger looks at what lies in the ledger, row by row, and at what should.
func (h *History) judgeLedger(verdict *Verdict) {
	h.judgeRows(verdict, write, h.Applied)
	h.judgeRows(verdict, send, h.Stored)
}

func (h *History) judgeRows(verdict *Verdict, kind string, rows []*Row) {
	byValue := map[string]*Op{}
	for _, op := range h.Ops {
		if op.Kind == kind {
			byValue[*op.Value] = op
		}
	}
	rowOf := map[string]*Row{}
	for _, row := range rows {
		verdict.count("rows", 1)
		op := byValue[row.Value]
		switch before := rowOf[row.Value]; {
		case !h.Ledger.Holds(row.Tx):
			verdict.add("lost", []string{row.Line}, "a row of the ledger is not in its history")
		case before != nil:
			verdict.add("duplicate", []string{before.Line, row.Line}, "%q is in the ledger twice", row.Value)
		case op == nil:
			verdict.add("invented", []string{row.Line}, "nobody wrote %q", row.Value)
		case op.Outcome == fail:
			verdict.add("refused", []string{op.Line, row.Line}, "%q was refused, and is in the ledger", row.Value)
		case op.Key != "" && op.Key != row.Key:
			verdict.add("lost", []string{op.Line, row.Line}, "%q lies under another key", row.Value)
		case op.Kind == write && op.Outcome == ok && *op.Tx != row.Tx:
			verdict.add("lost", []string{op.Line, row.Line}, "%q was told to be at another TxID", row.Value)
		}
		rowOf[row.Value] = row
	}
	for _, op := range h.Ops {
		if op.Kind != kind {
			continue
		}
		verdict.count(kind+" "+op.Outcome, 1)
		if op.Outcome == ok && rowOf[*op.Value] == nil {
			verdict.add("lost", lines(op), "an acknowledged %s is not in the ledger", kind)
		}
		if op.Outcome == unknown && rowOf[*op.Value] != nil {
			verdict.count(kind+" unknown that took effect", 1)
		}
	}
}

// judgeReads looks at what plain reads, and strangers, saw.
func (h *History) judgeReads(verdict *Verdict) {
	timelines := map[string][]*Row{}
	for _, row := range h.Applied {
		timelines[row.Key] = append(timelines[row.Key], row)
	}
	for _, rows := range timelines {
		sort.Slice(rows, func(i, j int) bool { return rows[i].Tx.Seqno < rows[j].Tx.Seqno })
	}
	attempts := map[string]*Op{}
	inLedger := map[string]bool{}
	for _, op := range h.Ops {
		if op.Kind == write {
			attempts[op.Key+" "+*op.Value] = op
		}
	}
	for _, row := range h.Applied {
		inLedger[row.Value] = true
	}
	for _, op := range h.Ops {
		if op.Outcome != ok || op.Changes() {
			continue
		}
		verdict.count(op.Kind+"s", 1)
		if op.Stranger && op.Value != nil {
			verdict.add("stranger", lines(op), "one who is no party saw %s", op.Saw())
		}
		if op.Kind != read {
			continue
		}
		if op.Fresh {
			verdict.count("fresh reads", 1)
		}
		rows := timelines[op.Key]
		if op.Value == nil {
			h.judgeAbsence(verdict, op, rows)
			continue
		}
		wrote := attempts[op.Key+" "+*op.Value]
		if wrote == nil || wrote.Call > *op.Return {
			verdict.add("invented", lines(op), "it saw %s, which nobody had written", op.Saw())
			continue
		}
		if h.Ledger.Holds(*op.Tx) {
			if held := heldAt(rows, op.Tx.Seqno); held == nil || held.Value != *op.Value {
				part := append(lines(op), h.around(rows, op.Tx.Seqno)...)
				verdict.add("explained", part, "%s saw %s at %v, where there was %s",
					op.Key, op.Saw(), *op.Tx, shown(held))
			}
			continue
		}
		verdict.count("reads of a state that was rolled back", 1)
		if !inLedger[*op.Value] {
			continue
		}
		shared := h.Ledger.Shared(*op.Tx)
		for _, row := range rows {
			if row.Value == *op.Value && row.Tx.Seqno > shared {
				verdict.add("explained", append(lines(op), row.Line),
					"it saw at %v, which was rolled back, what was written only afterwards", *op.Tx)
			}
		}
	}
}

func (h *History) judgeAbsence(verdict *Verdict, op *Op, rows []*Row) {
	verdict.count("reads that saw nothing", 1)
	if len(rows) == 0 {
		return
	}
	if op.Tx != nil && h.Ledger.Holds(*op.Tx) && rows[0].Tx.Seqno <= op.Tx.Seqno {
		verdict.add("explained", append(lines(op), rows[0].Line), "at %v there was something", *op.Tx)
	}
	if op.Min != nil && h.Ledger.Holds(*op.Min) && rows[0].Tx.Seqno <= op.Min.Seqno {
		verdict.add("absence", append(lines(op), rows[0].Line),
			"it carried %v, where there was something already", *op.Min)
	}
}

func heldAt(rows []*Row, seqno int64) *Row {
	next := sort.Search(len(rows), func(i int) bool { return rows[i].Tx.Seqno > seqno })
	if next == 0 {
		return nil
	}
	return rows[next-1]
}

func (h *History) around(rows []*Row, seqno int64) []string {
	next := sort.Search(len(rows), func(i int) bool { return rows[i].Tx.Seqno > seqno })
	var found []string
	for i := next - 1; i <= next; i++ {
		if i >= 0 && i < len(rows) {
			found = append(found, rows[i].Line)
		}
	}
	return found
}

func shown(row *Row) string {
	if row == nil {
		return "nothing"
	}
	return fmt.Sprintf("%q", row.Value)
}

// judgeMonotone compares what each call carried with what it was answered from.
func (h *History) judgeMonotone(verdict *Verdict) {
	for _, op := range h.Ops {
		if op.Outcome != ok || op.Min == nil || op.Tx == nil {
			continue
		}
		verdict.count("calls that carried a TxID", 1)
		carried, answered := *op.Min, *op.Tx
		switch {
		case h.Ledger.Holds(carried) && h.Ledger.Shared(answered) < carried.Seqno:
			verdict.add("monotone", lines(op), "it carried %v and was answered at %v", carried, answered)
		case !h.Ledger.Holds(carried) && h.Ledger.Holds(answered):
			verdict.add("monotone", lines(op),
				"it carried %v, which was rolled back, and was answered at %v", carried, answered)
		case carried.View == answered.View && answered.Seqno < carried.Seqno:
			verdict.add("monotone", lines(op), "it carried %v and was answered at %v", carried, answered)
		}
	}
}
