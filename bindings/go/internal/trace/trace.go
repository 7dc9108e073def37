// Package trace reads measured weights: a CSV with a row per layer and a column per expert, windows apart by an empty line.
package trace

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Trace is windows of weights [Layers, Experts], all of one shape.
type Trace struct {
	Windows         [][]float32
	Layers, Experts int
}

// Read reads windows from files, in their order. Its errors name the file, and the line and column of what is no number.
func Read(paths ...string) (*Trace, error) {
	trace := &Trace{}
	for _, path := range paths {
		if err := trace.read(path); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return trace, nil
}

func (t *Trace) read(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	before, lines := len(t.Windows), bufio.NewScanner(file)
	lines.Buffer(nil, 1<<24) // a layer has many experts
	var window []float32
	layers := 0
	for number := 1; ; number++ {
		more := lines.Scan()
		if line := strings.TrimSpace(lines.Text()); more && line != "" {
			if window, err = t.row(window, line, number); err != nil {
				return err
			}
			layers++
			continue
		}
		if err := t.push(window, layers); err != nil {
			return err
		}
		window, layers = nil, 0
		if !more {
			break
		}
	}
	if lines.Err() == nil && len(t.Windows) == before {
		return fmt.Errorf("it is empty")
	}
	return lines.Err()
}

// row appends the weights of a line to a window.
func (t *Trace) row(window []float32, line string, number int) ([]float32, error) {
	cells := strings.Split(line, ",")
	if t.Experts == 0 {
		t.Experts = len(cells)
	}
	if len(cells) != t.Experts {
		return nil, fmt.Errorf("line %d: %d experts, but there were %d before", number, len(cells), t.Experts)
	}
	for column, cell := range cells {
		weight, err := strconv.ParseFloat(strings.TrimSpace(cell), 32)
		if err != nil {
			return nil, fmt.Errorf("line %d, column %d: %q is no number", number, column+1, cell)
		}
		window = append(window, float32(weight))
	}
	return window, nil
}

// push ends a window; several empty lines end no more than one.
func (t *Trace) push(window []float32, layers int) error {
	if layers == 0 {
		return nil
	}
	if t.Layers != 0 && layers != t.Layers {
		return fmt.Errorf("a window of %d layers, but there were %d before", layers, t.Layers)
	}
	t.Layers = layers
	t.Windows = append(t.Windows, window)
	return nil
}
