package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// composed loads the compose file with the library of docker compose, which checks it against the specification's schema.
func composed(t *testing.T) *types.Project {
	t.Helper()
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: "../deploy", ConfigFiles: []types.ConfigFile{{Filename: "../deploy/compose.yaml"}}, Environment: types.Mapping{"TRELLIS_VERSION": "1.2.3"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// manifests are the objects of deploy/kubernetes.yaml.
type manifests struct {
	configuration core.ConfigMap
	deployment    apps.Deployment
	service       core.Service
	disruption    policy.PodDisruptionBudget
}

// applied reads the manifests into Kubernetes's own types. A field that they do not have is an error.
func applied(t *testing.T) (m manifests) {
	t.Helper()
	text, err := os.ReadFile("../deploy/kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	into := map[string]any{"ConfigMap": &m.configuration, "Deployment": &m.deployment, "Service": &m.service, "PodDisruptionBudget": &m.disruption}
	for _, document := range strings.Split(string(text), "\n---\n") {
		var head struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal([]byte(document), &head); err != nil {
			t.Fatal(err)
		}
		object := into[head.Kind]
		if object == nil {
			t.Fatalf("there is an object of the unknown kind %q, or a second one of it", head.Kind)
		}
		delete(into, head.Kind)
		if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
			t.Errorf("%s: %v", head.Kind, err)
		}
	}
	if len(into) > 0 {
		t.Errorf("the manifests lack %v", into)
	}
	return m
}

func TestKubernetesManifestsFitTogether(t *testing.T) {
	m := applied(t)
	pod := m.deployment.Spec.Template
	for name, selector := range map[string]map[string]string{
		"deployment": m.deployment.Spec.Selector.MatchLabels, "service": m.service.Spec.Selector, "disruption budget": m.disruption.Spec.Selector.MatchLabels,
	} {
		for label, value := range selector {
			if pod.Labels[label] != value {
				t.Errorf("the %s selects %v, and the pods have %v", name, selector, pod.Labels)
			}
		}
	}
	container := pod.Spec.Containers[0]
	ports := map[string]bool{}
	for _, port := range container.Ports {
		ports[port.Name] = true
	}
	for _, port := range m.service.Spec.Ports {
		if !ports[port.TargetPort.StrVal] {
			t.Errorf("the service's port %s leads to %q, which the pods do not have", port.Name, port.TargetPort.StrVal)
		}
	}
	for name, probe := range map[string]*core.Probe{"readiness": container.ReadinessProbe, "liveness": container.LivenessProbe, "startup": container.StartupProbe} {
		if !ports[probe.HTTPGet.Port.StrVal] {
			t.Errorf("the %s probe asks the port %q", name, probe.HTTPGet.Port.StrVal)
		}
	}
	volumes := map[string]bool{}
	for _, volume := range pod.Spec.Volumes {
		volumes[volume.Name] = true
	}
	for _, mount := range container.VolumeMounts {
		if !volumes[mount.Name] {
			t.Errorf("the volume %s is mounted, and not there", mount.Name)
		}
	}
	if context := pod.Spec.SecurityContext; *context.RunAsUser != imageUser || *context.FSGroup != imageUser {
		t.Errorf("the pods run as %d", *context.RunAsUser)
	}
}

// TestTheProgramTakesTheConfigurationsOfDeploy starts the program as compose and Kubernetes would, without an etcd: it must not
// find fault with its configuration.
func TestTheProgramTakesTheConfigurationsOfDeploy(t *testing.T) {
	built, err := build(t.Context(), "..", testRelease, target{runtime.GOOS, runtime.GOARCH}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, prepare := range map[string]func(t *testing.T, folder string) []string{
		"compose": func(t *testing.T, _ string) []string { return composed(t).Services["node-a"].Command },
		"kubernetes": func(t *testing.T, folder string) []string {
			m := applied(t)
			file := filepath.Join(folder, "trellis.yaml")
			if err := os.WriteFile(file, []byte(within(folder, m.configuration.Data["trellis.yaml"])), 0o600); err != nil {
				t.Fatal(err)
			}
			args := m.deployment.Spec.Template.Spec.Containers[0].Args
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "/etc/trellis/trellis.yaml", file)
			}
			return args
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // Each waits for etcd for some seconds.
			folder := t.TempDir()
			args := prepare(t, folder)
			for i := range args {
				args[i] = within(folder, args[i])
			}
			cmd := exec.CommandContext(t.Context(), built.path, args...)
			cmd.Env = []string{"TRELLIS_DATA_DIR=" + folder, "TRELLIS_API_ADDR=127.0.0.1:0", "TRELLIS_ADMIN_ADDR=127.0.0.1:0", "HOME=" + folder}
			var problems bytes.Buffer
			cmd.Stdout, cmd.Stderr = io.Discard, &problems
			err := cmd.Run()
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok || exit.ExitCode() != 1 || !strings.Contains(problems.String(), "etcd") {
				t.Errorf("trellis %s: %v\n%s", strings.Join(args, " "), err, problems.String())
			}
		})
	}
}

// within puts the secrets into a folder, and etcd where nobody is.
func within(folder, text string) string {
	return strings.NewReplacer("/secrets/", folder+"/", "http://etcd:2379", "http://127.0.0.1:1", "http://etcd.trellis.svc:2379", "http://127.0.0.1:1").Replace(text)
}
