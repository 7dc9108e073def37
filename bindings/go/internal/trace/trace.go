// Package trace reads measured weights: a CSV with a row per layer and a column per expert.
package trace

import (
	"encoding/csv"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Trace is a file of weights [Layers, Experts].
type Trace struct {
	Weights         []float32
	Layers, Experts int
}

// Read reads a file. Its errors name the file, and the line and column of what is no number.
func Read(path string) (*Trace, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll() // refuses rows of different lengths
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s: it is empty", path)
	}
	trace := &Trace{Layers: len(rows), Experts: len(rows[0])}
	for line, row := range rows {
		for column, cell := range row {
			weight, err := strconv.ParseFloat(strings.TrimSpace(cell), 32)
			if err != nil {
				return nil, fmt.Errorf("%s: line %d, column %d: %q is no number", path, line+1, column+1, cell)
			}
			trace.Weights = append(trace.Weights, float32(weight))
		}
	}
	return trace, nil
}
