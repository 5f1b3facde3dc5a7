// The judge of client histories: see README.md.

package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, in io.Reader, out, err io.Writer) int {
	flags := flag.NewFlagSet("judge", flag.ContinueOnError)
	flags.SetOutput(err)
	picture := flags.String("html", "", "draw the first history that has no order into this file")
	timeout := flags.Duration("timeout", time.Minute, "how long one register may take")
	if flags.Parse(args) != nil || flags.NArg() != 1 {
		fmt.Fprintln(err, "usage: judge [--html FILE] [--timeout DURATION] HISTORY.jsonl | -")
		return 2
	}
	if path := flags.Arg(0); path != "-" {
		file, failed := os.Open(path)
		if failed != nil {
			fmt.Fprintln(err, failed)
			return 2
		}
		defer file.Close()
		in = file
	}
	history, failed := readHistory(in)
	if failed != nil {
		fmt.Fprintln(err, failed)
		return 2
	}
	if unseen := history.unseen(); len(unseen) > 0 {
		fmt.Fprintf(err, "nobody looked at %d in the end, the first: %s\n", len(unseen), unseen[0])
		return 2
	}
	verdict := &Verdict{Figures: map[string]int{}}
	if failed := history.judgeLinearizable(verdict, *timeout, *picture); failed != nil {
		fmt.Fprintln(err, failed)
		return 2
	}
	history.judgeLedger(verdict)
	history.judgeReads(verdict)
	history.judgeMonotone(verdict)
	history.judgeOrder(verdict)
	return verdict.print(out)
}
