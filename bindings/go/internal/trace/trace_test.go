package trace

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "trace.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
	trace, err := Read(write(t, "1,2.5, 3\r\n4,5e1,6\r\n"))
	if err != nil || trace.Layers != 2 || trace.Experts != 3 || len(trace.Windows) != 1 || trace.Windows[0][4] != 50 {
		t.Errorf("%+v, %v", trace, err)
	}
	trace, err = Read(write(t, "\n1,2\n\n\n3,4\n"), write(t, "5,6"))
	if err != nil || trace.Layers != 1 || len(trace.Windows) != 3 || trace.Windows[1][0] != 3 || trace.Windows[2][1] != 6 {
		t.Errorf("%+v, %v", trace, err)
	}
}

func TestReadRefuses(t *testing.T) {
	for text, reason := range map[string]string{
		"": "it is empty", "1,2\n3\n": "line 2", "1,2\n3,word\n": `line 2, column 2: "word" is no number`, "1,\n": "column 2",
		"1,2\n\n1,2\n3,4\n": "a window of 2 layers, but there were 1 before",
	} {
		if _, err := Read(write(t, text)); err == nil || !strings.Contains(err.Error(), reason) || !strings.Contains(err.Error(), "trace.csv") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Read("/nowhere/trace.csv"); err == nil {
		t.Error("a file that is not there was read")
	}
}
